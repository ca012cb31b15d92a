"""QDR-style image restoration (after arXiv 2603.09624; the net is ours, the paper's is not public)."""
