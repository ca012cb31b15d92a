"""PicoSAM3 (arXiv 2603.11917): promptable segmentation of a box's surroundings, small enough for a sensor."""
