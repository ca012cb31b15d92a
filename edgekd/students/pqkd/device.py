"""The photonic device that a recipe names."""

from __future__ import annotations

from edgekd.photonic.base import FeatureSource
from edgekd.photonic.circuit import Floats
from edgekd.photonic.clicks import bins
from edgekd.photonic.sources.registry import circuit_of, features_of, open_source, shotless
from edgekd.schema.photonic import find_photonic
from edgekd.students.pqkd.config import Photonic


class Device:
    """A descriptor and its source. Raises RequestError, ProblemsError or MissingError where they do not fit."""

    def __init__(self, config: Photonic) -> None:
        self.described = find_photonic(config.source)
        self.shots = config.shots or self.described.shots
        self.circuit = circuit_of(self.described)
        self.length = 2 * bins(self.circuit.modes)
        self._source = open_source(self.described)
        self._limit = self._without_shots() if config.evaluate == "exact" else self._source

    def features(self, angles: Floats, shots: int, seed: tuple[int, ...]) -> Floats:
        """Of a number of shots. Raises RequestError where a source of a person's own gives something else."""
        return features_of(self._source, self.described, angles, shots, seed)

    def exact(self, angles: Floats, seed: tuple[int, ...]) -> Floats:
        """Without the noise of shots, where `evaluate` asks for it: of the same circuit, or a control's own."""
        return features_of(self._limit, self.described, angles, self.shots, seed)

    def _without_shots(self) -> FeatureSource:
        """A control stays the control that it is."""
        source = self._source
        return source if shotless(source) else open_source(self.described.model_copy(update={"source": "exact"}))
