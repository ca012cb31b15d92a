"""Sources of photonic features: simulators, controls, and what is reached over the network."""
