"""PQKD: a small classifier whose convolutions are mixed by the clicks of a photonic circuit."""
