"""Students: one folder each, with task (numpy only), network, training and recipe."""
