"""The photonic device that a recipe names."""

from __future__ import annotations

from functools import cached_property

from edgekd.photonic.base import FeatureSource
from edgekd.photonic.sources.registry import circuit_of, open_source
from edgekd.schema.photonic import find_photonic
from edgekd.students.pqkd.config import Photonic


class Device:
    """A descriptor and its source. Raises RequestError, ProblemsError or MissingError where they do not fit."""

    def __init__(self, config: Photonic) -> None:
        self.described = find_photonic(config.source)
        self.shots = config.shots or self.described.shots
        self.circuit = circuit_of(self.described)
        self.source = open_source(self.described)

    @cached_property
    def exact(self) -> FeatureSource:
        """The same circuit without the noise of shots."""
        return open_source(self.described.model_copy(update={"source": "exact"}))
