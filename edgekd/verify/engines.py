"""A compiled network where it runs, and how its tensors are looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edgekd.backends.base import Artifact
from edgekd.devices.base import Device, Work
from edgekd.devices.local import open_session
from edgekd.devices.measure import kind_of
from edgekd.evidence import host
from edgekd.graph.model import Array
from edgekd.resources import sha256

Arrays = dict[str, Array]


class Engine(Protocol):
    """What answers, and can be made to give out tensors within."""

    @property
    def name(self) -> str:
        """What tables call it."""

    @property
    def artifact(self) -> Artifact:
        """Its record."""

    @property
    def witness(self) -> dict[str, str]:
        """What its figures are vouched by: tool, its kind, host, device, SHA-256 of its file."""

    def outputs(self, inputs: Iterable[Arrays]) -> Iterator[Arrays]:
        """Outputs of each input, with nothing else exposed: as it really runs."""

    def observe(self, inputs: Sequence[Arrays], groups: Sequence[Sequence[str]]) -> list[Arrays]:
        """For each input the tensors of all groups, each group exposed in a compile of its own."""


@dataclass(frozen=True)
class LocalEngine:
    """An artifact in this process."""

    name: str
    artifact: Artifact
    folder: Path

    def outputs(self, inputs: Iterable[Arrays]) -> Iterator[Arrays]:
        """Outputs of each input."""
        run = open_session(self.runner, self.folder / self.artifact.model, self.artifact.options).run
        return map(run, inputs)

    def observe(self, inputs: Sequence[Arrays], groups: Sequence[Sequence[str]]) -> list[Arrays]:
        """Tensors of all groups; one that the artifact does not have is left out."""
        out: list[Arrays] = [{} for _ in inputs]
        for group in groups:
            try:
                exposed = open_session(self.runner, self.folder / self.artifact.model, self.artifact.options, [*group])
                found = [exposed.run(x) for x in inputs]
            except Exception:  # each runtime raises its own kinds; one that does not run at all fails in `outputs`
                alone = [[name] for name in group] if len(group) > 1 else []
                found = self.observe(inputs, alone)
            for trace, more in zip(out, found, strict=True):
                trace |= more
        return out

    @property
    def witness(self) -> dict[str, str]:
        """Itself, on this host."""
        tool, file = self.artifact.tool, self.folder / self.artifact.model
        return {"tool": tool, "kind": kind_of(tool), "host": host(), "sha256": sha256(file)}

    @property
    def runner(self) -> str:
        """The runner of its artifact."""
        assert self.artifact.runner is not None
        return self.artifact.runner


@dataclass
class DeviceEngine:
    """An artifact on a device."""

    name: str
    artifact: Artifact
    folder: Path
    device: Device
    witness: dict[str, str] = field(default_factory=dict)
    """As told by the device when it last answered."""

    def outputs(self, inputs: Iterable[Arrays]) -> Iterator[Arrays]:
        """Outputs of each input, all asked at once."""
        return iter(self._do(list(inputs), {"task": "run", "model": self.name}))

    def observe(self, inputs: Sequence[Arrays], groups: Sequence[Sequence[str]]) -> list[Arrays]:
        """Tensors of all groups; one that the artifact does not have is left out."""
        return self._do(inputs, {"task": "trace", "model": self.name, "groups": [list(group) for group in groups]})

    def _do(self, inputs: Sequence[Arrays], task: dict[str, Any]) -> list[Arrays]:
        assert self.artifact.runner is not None
        file = self.folder / self.artifact.model
        result = self.device.do([Work(self.name, self.artifact.runner, file, self.artifact.options)], inputs, [task])
        tool = result.told[0]["tool"]
        self.witness = {"tool": tool, "kind": kind_of(tool), "host": result.host, "device": self.device.name,
                        "sha256": sha256(file)}  # fmt: skip
        return result.arrays[0]


def traces(engine: Engine, inputs: Sequence[Arrays], tensors: Sequence[str]) -> list[Arrays]:
    """Each input's codes at these tensors, as the portable graph has them, and its outputs with nothing exposed."""
    artifact = engine.artifact
    groups = [list(tensors)] if artifact.observe == "all" else [[name] for name in tensors]
    out = engine.observe(inputs, groups) if tensors else [{} for _ in inputs]
    for trace in out:
        moved = [name for name in artifact.moved if name in trace]
        trace |= {name: (trace[name].astype(np.int16) - artifact.code_offset).astype(np.int8) for name in moved}
    return [trace | plain for trace, plain in zip(out, engine.outputs(inputs), strict=True)]
