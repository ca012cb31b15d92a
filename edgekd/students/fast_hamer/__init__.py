"""Fast-HaMeR (arXiv 2603.16444): hand meshes from a picture, by small nets that a large one teaches."""
