"""Time, memory, energy and state of a device while models run on it, as figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgekd.devices.base import Device, Probe, Say, Timing, Work, probe_of, silent, time_task
from edgekd.devices.job import Arrays
from edgekd.devices.state import changed
from edgekd.errors import RequestError
from edgekd.evidence import Figure, now
from edgekd.measure.energy import Energy, headline, per_inference
from edgekd.measure.latency import describe, median_interval, speed_up
from edgekd.measure.statistics import Rows
from edgekd.resources import sha256

IDLE, LOAD = 30.0, 30.0
"""Seconds of the two windows in which power is sampled."""


@dataclass(frozen=True)
class Measured:
    """What was measured of some models in one go, each by its name."""

    device: str
    works: tuple[Work, ...]
    timing: Timing
    timed: dict[str, Any]
    """As the task `time` in `edgekd/runners/worker.py` tells it."""
    memory: dict[str, dict[str, int] | None]
    energy: dict[str, list[Energy]]
    before: Probe
    after: Probe
    digests: dict[str, str]
    outputs: list[Arrays]
    """Of the last model, for every input."""

    def milliseconds(self, work: Work) -> Rows:
        """Latency of every run."""
        return np.array(self.timed["seconds"][work.name]) * 1e3

    def tool(self, work: Work) -> str:
        """What ran it."""
        return str(self.timed["tools"][work.name])

    @property
    def warnings(self) -> list[str]:
        """What makes these figures doubtful: the state before, and what changed since."""
        return list(dict.fromkeys(self.before.state.warnings() + changed(self.before.state, self.after.state)))


def measure_works(
    device: Device, works: Sequence[Work], inputs: Sequence[Arrays], timing: Timing, power: bool = False,
    say: Say = silent,
) -> Measured:  # fmt: skip
    """Time `works` in turns on the first input, take their memory, and the last one's outputs for all inputs.

    `power`: sample it too, of the first and the last. The state is read before and after. Raises MissingError where the
    device cannot do it.
    """
    names, ends = [work.name for work in works], dict.fromkeys((works[0].name, works[-1].name)) if power else {}
    tasks = [
        {"task": "state"},
        time_task(works, timing),
        {"task": "memory", "models": names},
        {"task": "run", "model": names[-1]},
        *({"task": "power", "model": n, "idle": IDLE, "seconds": LOAD, "threads": timing.threads} for n in ends),
        {"task": "state"},
    ]
    result = device.do(works, inputs, tasks, say)
    before, timed, memory, _, *logs, after = result.told
    return Measured(
        device=device.name,
        works=tuple(works),
        timing=timing,
        timed=timed,
        memory=memory["bytes"],
        energy={name: _rails(log) for name, log in zip(ends, logs, strict=True)},
        before=probe_of(result, before),
        after=probe_of(result, after),
        digests={work.name: sha256(work.source or work.model) for work in works},
        outputs=result.arrays[3],
    )


def _rails(log: dict[str, Any]) -> list[Energy]:
    """Energy by rail; none where sensors fell silent."""
    try:
        return per_inference(log)
    except RequestError:
        return []


def figures(measured: Measured) -> list[Figure]:
    """Latency, memory and energy of every model, how much faster the last is than each other, the device's state."""
    *others, ours = measured.works
    out = [f for work in measured.works for f in (_latency(measured, work), *_memory(measured, work))]
    out += [f for work in measured.works for f in _energy(measured, work)]
    out += [_speed_up(measured, base, ours) for base in others]
    return [*out, _state(measured, ours)]


def kind_of(tool: str) -> str:
    """A tool that replays recordings measures nothing."""
    return "simulated" if "recorded" in tool else "measured"


def _latency(measured: Measured, work: Work) -> Figure:
    milliseconds, timed = measured.milliseconds(work), measured.timed
    own = timed.get("details", {}).get(work.name, {})
    turns = "in turns with the others, " if timed["in_turns"] and len(measured.works) > 1 else ""
    return _figure(
        measured, work, name="latency", value=float(np.median(milliseconds)), unit="ms", n=len(milliseconds),
        interval=median_interval(milliseconds),
        method=f"median of single inferences, {own.get('method', '') and own['method'] + ', '}{turns}"
        "95 % block bootstrap interval",
        details=describe(milliseconds, timed["window"])
        | {"threads": measured.timing.threads, "warmup": measured.timing.warmup}
        | {key: timed[key] for key in ("load_before", "load_after")}
        | {key: _short(value) for key, value in own.items() if key not in ("method", "busy")},
    )  # fmt: skip


def _short(value: Any) -> Any:
    """A series as its median."""
    return float(np.median(value)) if isinstance(value, list) and value and isinstance(value[0], float) else value


def _memory(measured: Measured, work: Work) -> Iterator[Figure]:
    if found := measured.memory[work.name]:
        method = "peak resident memory of a fresh process that loads and runs it, above what the imported runtime takes"
        yield _figure(measured, work, name="peak memory", value=found["above_runtime"], unit="B", method=method,
                      details={"process": found["peak"]})  # fmt: skip


def _energy(measured: Measured, work: Work) -> Iterator[Figure]:
    """Per rail, idle power subtracted; the one that feeds the whole board has the plain name."""
    found = measured.energy.get(work.name, [])
    whole = headline(found)
    for energy in found:
        method = f"{energy.rail}: energy over {energy.load_window:.0f} s of runs, less the mean power of "
        yield _figure(
            measured, work, name="energy" if energy is whole else f"energy on {energy.rail}",
            value=energy.net, unit="J", n=round(energy.inferences), details=asdict(energy),
            method=f"{method}{energy.idle_window:.0f} s idle",
        )  # fmt: skip


def _speed_up(measured: Measured, base: Work, ours: Work) -> Figure:
    first, second = (measured.milliseconds(work) for work in (base, ours))
    value, interval = speed_up(first, second, measured.timed["in_turns"])
    turns = "in turns" if measured.timed["in_turns"] else "one after the other"
    short = describe(second, measured.timed["window"])["short"]
    return _figure(
        measured, ours, name=f"speed-up over {base.name}", value=value, unit="", n=len(second), interval=interval,
        method=f"ratio of median latencies, {turns}, 95 % block bootstrap interval",
        details={"over": base.name, "short": short},
    )  # fmt: skip


def _state(measured: Measured, work: Work) -> Figure:
    details = {"warnings": measured.warnings, "before": asdict(measured.before.state),
               "after": asdict(measured.after.state)}  # fmt: skip
    method = "number of things about the device's state, before and after, that make figures doubtful"
    return _figure(measured, work, name="state", value=len(measured.warnings), unit="", details=details, method=method)


def _figure(measured: Measured, work: Work, **more: Any) -> Figure:
    tool = measured.tool(work)
    return Figure(subject=work.name, kind=kind_of(tool), sha256=measured.digests[work.name], tool=tool, when=now(),
                  host=measured.before.host, device=measured.device, **more)  # fmt: skip
