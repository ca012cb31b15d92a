"""Sources without photons, to compare with. Both are ours; angles and shots do not matter to them."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from edgekd.photonic.circuit import Circuit, Floats
from edgekd.photonic.clicks import bins
from edgekd.photonic.simulator import generator
from edgekd.photonic.sources.registry import NoOptions, circuit_of
from edgekd.schema.base import Strict
from edgekd.schema.photonic import Photonic

SPREAD = 3.5
"""Root mean square over 100 random settings of the 30 angles (uniform, seed 0) of the exact features of 8 photons in 16
modes behind two loops of one bin, each half's standard deviation over its mean; 3.7 with 200 shots. Measured."""


class Constant:
    """Every bin of a half the same: what detectors would give that click at random."""

    shotless = True

    def __init__(self, device: Photonic, options: NoOptions) -> None:
        self.circuit = circuit_of(device)

    def features(self, angles: Floats, shots: int, seed: tuple[int, ...]) -> Floats:
        """1 / bins in each of the (2 * bins,), bins = 2^(modes / 2); each half adds to 1, as a histogram does."""
        length = _length(self.circuit, angles)
        return np.full(2 * length, 1 / length)


class GaussianOptions(Strict):
    """How the random vector is drawn."""

    fresh: bool = Field(False, description="Draw anew for every seed; otherwise once by the seed's first number.")
    spread: float = Field(SPREAD, ge=0, description="Standard deviation over a half's bins, in units of their mean.")


class Gaussian:
    """A normally distributed vector with the mean and the length of photonic features.

    What a fixed random mixing makes of features depends in distribution on their length alone, as long as its weights
    are drawn independently and normally; so a control must have that length, or it changes the scale of weights too.
    Each half is shifted and scaled to have exactly the mean 1 / bins and the spread of the photonic features. It is not
    made positive: that would change the distribution, and a linear mixing does not ask for it.
    """

    Options, shotless = GaussianOptions, True

    def __init__(self, device: Photonic, options: GaussianOptions) -> None:
        self.circuit, self.options = circuit_of(device), options

    def features(self, angles: Floats, shots: int, seed: tuple[int, ...]) -> Floats:
        """(2 * bins,), bins = 2^(modes / 2); each half adds to 1 and has the norm sqrt((1 + spread^2) / bins)."""
        length = _length(self.circuit, angles)
        drawn = generator(seed if self.options.fresh else seed[:1]).standard_normal((2, length))
        drawn -= drawn.mean(1, keepdims=True)
        drawn /= drawn.std(1, keepdims=True)
        return ((1 + self.options.spread * drawn) / length).ravel()


def _length(circuit: Circuit, angles: Floats) -> int:
    """Patterns of half the modes. Raises RequestError for wrong angles, and as `clicks.bins` does."""
    circuit.checked(angles)
    return bins(circuit.modes)
