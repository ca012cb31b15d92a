"""The photonic device that a recipe names."""

from __future__ import annotations

from edgekd.photonic.circuit import Floats
from edgekd.photonic.sources.registry import circuit_of, features_of, open_source
from edgekd.schema.photonic import find_photonic
from edgekd.students.pqkd.config import Photonic


class Device:
    """A descriptor and its source. Raises RequestError, ProblemsError or MissingError where they do not fit."""

    def __init__(self, config: Photonic) -> None:
        self.described = find_photonic(config.source)
        self.shots = config.shots or self.described.shots
        self.circuit = circuit_of(self.described)
        self._source = open_source(self.described)

    def features(self, angles: Floats, shots: int, seed: tuple[int, ...]) -> Floats:
        """Of a number of shots. Raises RequestError where a source of a person's own gives something else."""
        return features_of(self._source, self.described, angles, shots, seed)

    def exact(self, angles: Floats) -> Floats:
        """Of the same circuit without the noise of shots."""
        device = self.described.model_copy(update={"source": "exact"})
        return features_of(open_source(device), device, angles, 1, (0,))
