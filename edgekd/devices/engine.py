"""An artifact on a device, as verification looks at engines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekd.backends.base import Artifact
from edgekd.devices.base import Device, Work
from edgekd.devices.job import Arrays


@dataclass(frozen=True)
class DeviceEngine:
    """An artifact, in `folder` here, that runs on a device; every look is a job of its own."""

    name: str
    artifact: Artifact
    folder: Path
    device: Device

    @property
    def work(self) -> Work:
        """The artifact as it is run."""
        assert self.artifact.runner is not None
        return Work(self.name, self.artifact.runner, self.folder / self.artifact.model, self.artifact.options)

    def outputs(self, inputs: Iterable[Arrays]) -> Iterator[Arrays]:
        """Outputs of each input, with nothing else exposed."""
        return iter(self.device.outputs(self.work, list(inputs)))

    def observe(self, inputs: Sequence[Arrays], groups: Sequence[Sequence[str]]) -> list[Arrays]:
        """For each input the tensors of all groups, each group exposed in a session of its own."""
        return self.device.traces(self.work, inputs, groups)
