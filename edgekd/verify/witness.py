"""What verification found, as figures for the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from edgekd.errors import Problem
from edgekd.evidence import Bundle, Figure, host, now
from edgekd.resources import sha256
from edgekd.store import installed
from edgekd.students.base import Task, sign_of, unit_of
from edgekd.verify.gates import Gate
from edgekd.verify.parity import Hop
from edgekd.verify.scores import Scores, control_names, retained
from edgekd.verify.worst import Loss

Losses = dict[str, dict[str, list[Loss]]]
"""Of `sample` and `group`: by subject, the largest loss first."""


def figures(
    bundle: Bundle,
    task: Task,
    scores: dict[str, Scores],
    hops: list[Hop],
    gates: list[Gate],
    skipped: list[Problem],
    losses: Losses,
    witnesses: dict[str, dict[str, str]],
) -> list[Figure]:
    """Scores, what is lost most, parity and gates. `witnesses`: of engines and their hops, where each ran."""
    made = [
        *(figure for s in scores.values() for figure in _scores(bundle, task, scores, s)),
        *(_worst(bundle, task, what, subject, found) for what, by in losses.items() for subject, found in by.items()),
        *(_parity(bundle, hop) for hop in hops),
        gate_figure(bundle, gates, skipped),
    ]
    return [figure.model_copy(update=witnesses.get(figure.subject, {})) for figure in made]


def _scores(bundle: Bundle, task: Task, scores: dict[str, Scores], s: Scores) -> Iterator[Figure]:
    base, full = scores.get(task.baseline or ""), scores[bundle.manifest.recipe.reference]
    judged = task.metric, sign_of(task, task.metric)
    for metric, values in s.values.items():
        yield _figure(bundle, metric, s.subject, s.mean(metric), unit_of(task, metric),
                      "mean over evaluation samples, 95 % bootstrap interval over samples", n=len(values),
                      interval=s.interval(metric), details=dict(zip(s.ids, values, strict=True)))  # fmt: skip
    if s is not full and s.subject not in control_names(task) and (kept := retained(base, full, s, *judged)):
        value, interval = kept
        ratio = f"(it - {task.baseline}) / (FP32 - {task.baseline})" if base else "it / FP32"
        yield _figure(bundle, "retained", s.subject, value, "",
                      f"{ratio} of mean {task.metric}, paired 95 % bootstrap interval over samples",
                      n=len(s.ids), interval=interval)  # fmt: skip


def _worst(bundle: Bundle, task: Task, what: str, subject: str, found: list[Loss]) -> Figure:
    return _figure(bundle, f"worst {what} drop", subject, found[0].drop, task.unit,
                   f"largest loss of {task.metric} against FP32 in any {what}", n=found[0].n,
                   details={"losses": [asdict(loss) for loss in found]})  # fmt: skip


def _parity(bundle: Bundle, hop: Hop) -> Figure:
    details = {
        "largest": hop.largest,
        "first_beyond": hop.first_beyond,
        "operators": hop.by_operator(),
        "tensors": hop.plain(),
    }
    return _figure(bundle, "parity", hop.name, hop.equal, "", "share of equal codes over all tensors, end to end",
                   n=sum(t.size for t in hop.tensors), details=details)  # fmt: skip


def gate_figure(bundle: Bundle, gates: list[Gate], skipped: list[Problem]) -> Figure:
    """All gates and how many of them did not hold."""
    details = {"gates": [asdict(gate) for gate in gates], "skipped": [asdict(p) for p in skipped]}
    return _figure(bundle, "failed gates", bundle.manifest.name, sum(not g.held for g in gates), "",
                   "number of gates that did not hold", n=len(gates), details=details)  # fmt: skip


def _figure(bundle: Bundle, name: str, subject: str, value: float, unit: str, method: str, **more: Any) -> Figure:
    """A measured figure of the integer reference, on this host."""
    manifest, tool, file = bundle.manifest, f"edgekd {installed('edgekd')}, integer reference", ""
    if subject in manifest.arms:
        file = sha256(bundle.path / manifest.arms[subject].graph)
    return Figure(name=name, subject=subject, value=value, unit=unit, kind="measured", sha256=file, method=method,
                  tool=tool, host=host(), when=now(), **more)  # fmt: skip
