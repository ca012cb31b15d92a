"""Time, memory and state of a device while models run on it, as figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgekd.devices.base import Device, Say, Timing, Work, silent, time_task
from edgekd.devices.job import Arrays
from edgekd.evidence import Figure, now
from edgekd.measure.latency import describe, median_interval, speed_up
from edgekd.measure.statistics import Rows
from edgekd.resources import sha256


@dataclass(frozen=True)
class Measured:
    """What was measured of some models in one go, each by its name."""

    device: str
    host: str
    works: tuple[Work, ...]
    timing: Timing
    milliseconds: dict[str, Rows]
    window: float
    in_turns: bool
    tools: dict[str, str]
    memory: dict[str, dict[str, int]]
    digests: dict[str, str]
    details: dict[str, Any]
    outputs: list[Arrays]
    """Of the last model, for every input."""


def measure_works(
    device: Device, works: Sequence[Work], inputs: Sequence[Arrays], timing: Timing, say: Say = silent
) -> Measured:
    """Time `works` in turns on the first input, take their memory, and the last one's outputs for all inputs.

    The machine's state is read before and after. Raises MissingError where the device cannot do it.
    """
    names = [work.name for work in works]
    tasks = [
        {"task": "state"},
        time_task(works, timing),
        {"task": "memory", "models": names},
        {"task": "run", "model": names[-1]},
        {"task": "state"},
    ]
    result = device.do(works, inputs, tasks, say)
    before, timed, memory, _, after = result.told
    return Measured(
        device=device.name,
        host=result.host,
        works=tuple(works),
        timing=timing,
        milliseconds={name: np.array(seconds) * 1e3 for name, seconds in timed["seconds"].items()},
        window=timed["window"],
        in_turns=timed["in_turns"],
        tools=timed["tools"],
        memory=memory["bytes"],
        digests={work.name: sha256(work.source or work.model) for work in works},
        details={
            "load_before": timed["load_before"],
            "load_after": timed["load_after"],
            "state_before": before,
            "state_after": after,
        },
        outputs=result.arrays[3],
    )


def figures(measured: Measured) -> list[Figure]:
    """Latency and peak memory of every model, and how much faster the last one is than the first."""
    out = [f for work in measured.works for f in (_latency(measured, work), _memory(measured, work))]
    if len(measured.works) > 1 and measured.in_turns:
        out.append(_speed_up(measured, measured.works[0], measured.works[-1]))
    return out


def _latency(measured: Measured, work: Work) -> Figure:
    milliseconds = measured.milliseconds[work.name]
    settings = asdict(measured.timing)
    return _figure(
        measured, work, name="latency", value=float(np.median(milliseconds)), unit="ms", n=len(milliseconds),
        interval=median_interval(milliseconds),
        method="median of single inferences, " + "in turns with the others, " * measured.in_turns
        + "95 % block bootstrap interval",
        details=describe(milliseconds, measured.window)
        | {"threads": settings["threads"], "warmup": settings["warmup"]} | measured.details,
    )  # fmt: skip


def _memory(measured: Measured, work: Work) -> Figure:
    found = measured.memory[work.name]
    return _figure(
        measured, work, name="peak memory", value=found["above_runtime"], unit="B",
        method="peak resident memory of a fresh process that loads and runs it, above what the imported runtime takes",
        details={"process": found["peak"]},
    )  # fmt: skip


def _speed_up(measured: Measured, base: Work, ours: Work) -> Figure:
    rows = [measured.milliseconds[work.name] for work in (base, ours)]
    value, interval = speed_up(*rows)
    short = describe(rows[1], measured.window)["short"]
    return _figure(
        measured, ours, name="speed-up", value=value, unit="", n=len(rows[0]), interval=interval,
        method=f"median latency of `{base.name}` over its own, in turns, 95 % block bootstrap interval over rounds",
        details={"over": base.name, "short": short},
    )  # fmt: skip


def _figure(measured: Measured, work: Work, **more: Any) -> Figure:
    common = {"sha256": measured.digests[work.name], "tool": measured.tools[work.name], "host": measured.host}
    return Figure(subject=work.name, kind="measured", device=measured.device, when=now(), **common, **more)
