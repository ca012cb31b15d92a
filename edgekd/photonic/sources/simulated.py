"""Our own simulator behind a descriptor."""

from __future__ import annotations

import numpy as np

from edgekd.errors import RequestError
from edgekd.photonic import clicks, sampling
from edgekd.photonic.base import Clicks
from edgekd.photonic.circuit import Floats
from edgekd.photonic.sources.registry import NoOptions, circuit_of
from edgekd.schema.photonic import Photonic


class Simulated:
    """Samples of the simulated circuit."""

    def __init__(self, device: Photonic, options: NoOptions) -> None:
        _ideal(device)
        self.circuit = circuit_of(device)

    def features(self, angles: Floats, shots: int, seed: tuple[int, ...]) -> Floats:
        """Two-half click histogram of `shots` samples."""
        return clicks.histogram(self.sample(angles, shots, seed))

    def sample(self, angles: Floats, shots: int, seed: tuple[int, ...]) -> Clicks:
        """(shots, modes), the same for the same seed."""
        unitary, rng = self.circuit.unitary(angles), np.random.default_rng(seed)
        return np.greater(sampling.sample(unitary, self.circuit.photons, shots, rng), 0)


class ExactFeatures:
    """The histogram of infinitely many shots."""

    def __init__(self, device: Photonic, options: NoOptions) -> None:
        _ideal(device)
        self.circuit = circuit_of(device)

    def features(self, angles: Floats, shots: int, seed: tuple[int, ...]) -> Floats:
        """Two-half click histogram; `shots` and `seed` do not matter."""
        return clicks.features(self.circuit.unitary(angles), self.circuit.photons)


def _ideal(device: Photonic) -> None:
    if not device.ideal:
        raise RequestError("the simulator has no imperfections yet", "take `flaws` out")
