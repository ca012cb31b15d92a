"""A device's own answers, judged here: the task's scores and the outputs' parity with the integer reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgekd.devices.measure import kind_of
from edgekd.evidence import Bundle, Figure, now
from edgekd.graph import golden
from edgekd.graph.answers import views
from edgekd.graph.model import Array, Graph, read_model
from edgekd.students.base import Sample, Task, sign_of, unit_of
from edgekd.students.registry import bundled_task
from edgekd.verify.check import GOLDEN, read_probes
from edgekd.verify.gates import Gate, score_gates
from edgekd.verify.parity import Hop, compare
from edgekd.verify.scores import Scores, retained, score


@dataclass(frozen=True)
class Questions:
    """What a device is asked of a bundle: the probes, then every view of the evaluation set's samples."""

    bundle: Bundle
    graph: Graph
    task: Task
    probes: list[dict[str, Array]]
    samples: Sequence[Sample]
    whole: int
    """Samples that the evaluation set has."""

    @property
    def inputs(self) -> list[dict[str, Array]]:
        """Inputs of the network, probes first."""
        io = self.graph.io
        return self.probes + [self.task.encode(view, io) for sample in self.samples for view in views(sample.raw, io)]


def questions(bundle: Bundle, samples: int | None = None) -> Questions:
    """Of a bundle, or the first `samples` of its set. Raises RequestError or MissingError without its task or data."""
    graph, task = Graph(read_model(bundle.path / "graph.onnx")), bundled_task(bundle)
    probes, whole = read_probes(bundle.path / "probes.npz")[0], task.evalset()
    return Questions(bundle, graph, task, probes, whole[:samples], len(whole))


def judge(asked: Questions, subject: str, outputs: Sequence[dict[str, Array]]) -> tuple[Hop, Scores]:
    """Parity of the probes' outputs and scores of the others, for outputs in the order of the questions' inputs."""
    count = len(asked.probes)
    scores = score(subject, asked.task, asked.graph.io, asked.samples, lambda _: outputs[count:])
    return output_parity(asked, f"{GOLDEN} → {subject}", outputs[:count]), scores


def output_parity(asked: Questions, name: str, outputs: Sequence[dict[str, Array]]) -> Hop:
    """Network outputs against the integer reference's, end to end, without a bound: what lies between was not seen."""
    rounding = asked.bundle.manifest.target.arithmetic.rounding
    own = [golden.run(asked.graph, x, rounding=rounding) for x in asked.probes]
    whole = [{**reference, **found} for reference, found in zip(own, outputs, strict=True)]
    tensors = compare(name, asked.graph, asked.probes, whole, rounding=rounding).tensors
    seen = tuple(replace(t, bound=1.0, bound_beyond_one=1.0) for t in tensors if t.tensor in asked.graph.outputs)
    return Hop(name, seen)


def recorded(asked: Questions) -> dict[str, Scores]:
    """Scores of baseline, teacher and shipped arm as the last verification wrote them into the ledger.

    Of the samples that are asked, in their order: a ledger sorts them.
    """
    latest = {(f.name, f.subject): f for f in asked.bundle.ledger.read()}
    recipe, metric, ids = asked.bundle.manifest.recipe, asked.task.metric, tuple(s.id for s in asked.samples)
    subjects = [s for s in (asked.task.baseline, recipe.reference, recipe.ship) if s and (metric, s) in latest]
    details = {subject: latest[metric, subject].details for subject in subjects}
    return {s: Scores(s, ids, {metric: tuple(d[i] for i in ids)}, ()) for s, d in details.items() if set(ids) <= set(d)}


def gates(asked: Questions, scores: Scores) -> list[Gate]:
    """The recipe's gates about an engine's answers; none where no verification is in the ledger."""
    known, recipe = recorded(asked), asked.bundle.manifest.recipe
    if not {recipe.reference, recipe.ship} <= set(known):
        return []
    found = score_gates(recipe, asked.task, known | {scores.subject: scores})
    return [gate for gate in found if gate.subject == scores.subject]


def figures(asked: Questions, hop: Hop, scores: Scores, witness: dict[str, str]) -> list[Figure]:
    """Scores, what is kept of FP32, and parity; `witness` are the fields `tool`, `host`, `device` and `sha256`."""
    known, recipe, metric = recorded(asked), asked.bundle.manifest.recipe, asked.task.metric
    common: dict[str, Any] = {"kind": kind_of(witness["tool"]), "when": now()} | witness
    out = [
        Figure(
            name=name, subject=scores.subject, value=scores.mean(name), unit=unit_of(asked.task, name),
            n=len(values), interval=scores.interval(name), details=dict(zip(scores.ids, values, strict=True)),
            method="mean over evaluation samples, scored here, 95 % bootstrap interval over samples", **common,
        )
        for name, values in scores.values.items()
    ]  # fmt: skip
    full, sign = known.get(recipe.reference), sign_of(asked.task, metric)
    if full and (kept := retained(known.get(asked.task.baseline or ""), full, scores, metric, sign)):
        method = f"share of FP32's mean {metric}, FP32 by the integer reference's interpreter"
        out.append(Figure(name="retained", subject=scores.subject, value=kept[0], unit="", n=len(scores.ids),
                          interval=kept[1], method=method, **common))  # fmt: skip
    details = {"largest": hop.largest, "first_beyond": hop.first_beyond, "tensors": hop.plain()}
    size = sum(t.size for t in hop.tensors)
    out.append(Figure(name="parity", subject=hop.name, value=hop.equal, unit="", n=size, details=details,
                      method="share of equal output codes, end to end", **common))  # fmt: skip
    return out
