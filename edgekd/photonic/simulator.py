"""The simulator as a source of features: shots, or infinitely many of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgekd.errors import RequestError
from edgekd.photonic import noise
from edgekd.photonic.base import Clicks
from edgekd.photonic.circuit import Circuit, Floats
from edgekd.photonic.clicks import features, histogram
from edgekd.photonic.noise import Imperfections


@dataclass(frozen=True)
class Simulated:
    """What is simulated."""

    circuit: Circuit
    imperfections: Imperfections = noise.NONE
    interleaved: bool = False
    """Whether every second mode, not neighbours, forms a half."""


class Simulator(Simulated):
    """Shots of the exact simulator, a `ClickSource`; index tables are kept from call to call."""

    def sample(self, angles: Floats, shots: int, seed: tuple[int, ...]) -> Clicks:
        """(shots, modes). Raises RequestError for wrong angles, shots or seed, or too large a circuit."""
        return noise.sample(self.circuit, angles, shots, generator(seed), self.imperfections)

    def features(self, angles: Floats, shots: int, seed: tuple[int, ...]) -> Floats:
        """(2 * 2^(modes / 2),): histogram of `shots` shots. Raises RequestError as `sample` does."""
        return histogram(self.sample(angles, shots, seed), self.interleaved)


class Exact(Simulated):
    """What the histogram of infinitely many shots would be, a `FeatureSource`; neither shots nor seed matter."""

    shotless = True

    def features(self, angles: Floats, shots: int, seed: tuple[int, ...]) -> Floats:
        """(2 * 2^(modes / 2),). Raises RequestError for wrong angles, too large a circuit, or unsteady angles."""
        if self.imperfections != noise.NONE:
            return noise.features(self.circuit, angles, self.imperfections, self.interleaved)
        return features(self.circuit.unitary(angles), self.circuit.photons, self.interleaved)


def generator(seed: tuple[int, ...]) -> np.random.Generator:
    """Raises RequestError for a seed that is none."""
    if not seed or min(seed) < 0:
        raise RequestError(f"seed {list(seed)} is none", "give whole numbers of 0 or more")
    return np.random.default_rng(seed)
