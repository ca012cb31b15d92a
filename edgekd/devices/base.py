"""A device does jobs: here what it is asked, whatever carries the job there."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgekd.devices.job import Arrays, Limits, Result, read_result, write_job
from edgekd.devices.state import State, parse

Say = Callable[[str], None]


def silent(text: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Work:
    """A model to run: its name, runner, file, and what the runner is told."""

    name: str
    runner: str
    model: Path
    options: dict[str, Any] = field(default_factory=dict)
    source: Path | None = None
    """What it was compiled from, where figures are about that file."""


@dataclass(frozen=True)
class Timing:
    """How long to measure: until `runs` or `seconds`, whichever comes first, after `warmup` runs."""

    warmup: int = 20
    runs: int = 1024
    seconds: float = 60.0
    threads: int = 1


@dataclass(frozen=True)
class Probe:
    """A machine: in a line, its `uname -m`, its state, and whether it tells its power."""

    host: str
    machine: str
    state: State
    power: bool


class Device(ABC):
    """Where models run. One at a time; who comes second waits as long as `limits` say."""

    name: str
    limits = Limits()

    @abstractmethod
    def carry_out(self, folder: Path, say: Say) -> None:
        """Have the agent do the job in `folder`; then `result.json` and the arrays lie there.

        Raises MissingError where the device cannot be reached or cannot do it.
        """

    def do(self, works: Sequence[Work], inputs: Sequence[Arrays], tasks: Sequence[dict[str, Any]],
           say: Say = silent) -> Result:  # fmt: skip
        """Have tasks done, in their order, in one go; `edgekd/runners/worker.py` tells what there is.

        Raises MissingError when one fails.
        """
        with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
            models = [(w.name, w.runner, w.model, w.options) for w in works]
            write_job(Path(folder), models, inputs, tasks, self.limits.beside(tasks))
            self.carry_out(Path(folder), say)
            return read_result(Path(folder), self.name)

    def probe(self) -> Probe:
        """What the machine is and in which state."""
        result = self.do([], [], [{"task": "state"}])
        return probe_of(result, result.told[0])

    def outputs(self, work: Work, inputs: Sequence[Arrays]) -> list[Arrays]:
        """Raw outputs for every input; whoever asked scores them."""
        return self.do([work], inputs, [{"task": "run", "model": work.name}]).arrays[0]

    def traces(self, work: Work, inputs: Sequence[Arrays], groups: Sequence[Sequence[str]]) -> list[Arrays]:
        """Tensors for every input, each group of them exposed in a session of its own, and the outputs."""
        task = {"task": "trace", "model": work.name, "groups": [list(group) for group in groups]}
        return self.do([work], inputs, [task]).arrays[0]

    def time(self, works: Sequence[Work], inputs: Arrays, timing: Timing) -> dict[str, Any]:
        """Seconds of every run of every model, in turns; the form of the result is in `edgekd/runners/worker.py`."""
        return self.do(works, [inputs], [time_task(works, timing)]).told[0]

    def layers(self, work: Work, inputs: Arrays, runs: int = 100) -> list[dict[str, Any]] | None:
        """Time of every layer; None where the runner cannot tell."""
        found: list[dict[str, Any]] | None
        found = self.do([work], [inputs], [{"task": "layers", "model": work.name, "runs": runs}]).told[0]["layers"]
        return found


def time_task(works: Sequence[Work], timing: Timing) -> dict[str, Any]:
    """The task that times `works`."""
    return {"task": "time", "models": [work.name for work in works]} | asdict(timing)


def probe_of(result: Result, told: dict[str, Any]) -> Probe:
    """What a `state` task told. A board's model stands before what its kernel calls it, its power mode behind."""
    state, host = parse(told["raw"]), result.host
    if state.model:
        host = ", ".join([state.model, *host.split(", ")[1:]])
    return Probe(f"{host}, {state.power_mode}" if state.power_mode else host, result.machine, state, told["power"])
