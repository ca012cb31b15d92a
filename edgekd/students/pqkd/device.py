"""The photonic device that a recipe names, opened when it is asked."""

from __future__ import annotations

from functools import cached_property

from edgekd.photonic.base import FeatureSource
from edgekd.photonic.circuit import Circuit
from edgekd.photonic.sources.registry import circuit_of, open_source
from edgekd.schema.photonic import find_photonic
from edgekd.students.pqkd.config import Photonic


class Device:
    """A descriptor and its sources. Raises RequestError or ProblemsError where the descriptor is wrong."""

    def __init__(self, config: Photonic) -> None:
        self.described = find_photonic(config.source)
        self.shots = config.shots or self.described.shots

    @property
    def circuit(self) -> Circuit:
        """What light passes."""
        return circuit_of(self.described)

    @cached_property
    def source(self) -> FeatureSource:
        """What gives the features."""
        return open_source(self.described)

    @cached_property
    def exact(self) -> FeatureSource:
        """The same circuit without the noise of shots."""
        return open_source(self.described.model_copy(update={"source": "exact"}))
