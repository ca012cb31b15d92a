"""What a source of photonic features is."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgekd.photonic.circuit import Circuit, Floats

Clicks = NDArray[np.bool_]
"""(shots, modes): which detectors saw light."""


class FeatureSource(Protocol):
    """A vector for a setting of angles: PQKD's students are conditioned on it.

    With an attribute `shotless = True` its features have no noise of shots, whatever `shots` says.
    """

    circuit: Circuit

    def features(self, angles: Floats, shots: int, seed: tuple[int, ...]) -> Floats:
        """Two-half click histogram (2 * 2^(modes / 2),), each half adds to 1; the same for the same seed.

        Raises RequestError for a wrong request, MissingError where the source cannot be reached.
        """


@runtime_checkable
class ClickSource(FeatureSource, Protocol):
    """A source that gives out single shots."""

    def sample(self, angles: Floats, shots: int, seed: tuple[int, ...]) -> Clicks:
        """Clicks of `shots` runs; the same for the same seed where the source can be seeded."""
