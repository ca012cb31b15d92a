"""The photonic simulator: time-bin interferometers, their exact distributions, samples, features, and their sources."""
