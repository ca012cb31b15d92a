"""The training loop, losses and methods."""
