"""Several runs in one page: what each network keeps, costs and takes, and which are the best for their cost."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from edgekd.evidence import Bundle, Figure
from edgekd.report.charts import Mark, scatter
from edgekd.report.html import render
from edgekd.report.pareto import front
from edgekd.store import write_atomic
from edgekd.students.base import sign_of, title_of
from edgekd.students.registry import bundled_task
from edgekd.verify.scores import answers_without

HERE = ("", "local")
"""What figures of this host have for a device."""


@dataclass(frozen=True)
class Row:
    """A control, an arm or an engine of a run, on this host or on a device; figures that were not got are None."""

    run: str
    target: str
    title: str
    device: str
    role: str
    score: Figure
    kept: Figure | None
    size: Figure | None
    macs: Figure | None
    latency: Figure | None

    @property
    def label(self) -> str:
        """The run, and the device where it is another."""
        return f"{self.run} on {self.device}" if self.device else self.run

    @property
    def is_scored_elsewhere(self) -> bool:
        """Whether the score is that of edgekd's own host: the device was only timed."""
        return self.device not in ("", self.score.device)


@dataclass(frozen=True)
class Run:
    """A run, its rows, and by what they are judged."""

    bundle: Bundle
    metric: str
    title: str
    unit: str
    sign: int
    """-1 where lower is better."""
    rows: tuple[Row, ...]

    @property
    def samples(self) -> frozenset[str]:
        """The evaluation samples behind its scores."""
        return frozenset(self.rows[0].score.details) if self.rows else frozenset()


def write_comparison(bundles: Sequence[Bundle], path: Path) -> Path:
    """Write the page; runs of different metrics stand in tables of their own."""
    runs = [read_run(bundle) for bundle in bundles]
    judged = dict.fromkeys((run.metric, run.unit) for run in runs)
    groups = [_group([run for run in runs if (run.metric, run.unit) == by], path) for by in judged]
    write_atomic(path, render("compare.html.jinja", {"groups": groups, "runs": runs}).encode())
    return path


def read_run(bundle: Bundle) -> Run:
    """What a run's ledger holds, the latest of each."""
    task, manifest = bundled_task(bundle), bundle.manifest
    latest = {(f.name, f.subject, "" if f.device in HERE else f.device): f for f in bundle.ledger.read()}
    controls, arms = answers_without(task), (manifest.recipe.reference, manifest.recipe.ship)
    rows = [
        replace(row, role="control", size=None, macs=None) if subject in controls else row
        for subject in (*controls, *arms, *manifest.engines)
        for row in _rows(bundle, latest, task.metric, subject)
    ]
    return Run(bundle, task.metric, title_of(task, task.metric), task.unit, sign_of(task, task.metric), tuple(rows))


def _rows(bundle: Bundle, latest: dict[tuple[str, str, str], Figure], metric: str, subject: str) -> Iterator[Row]:
    """A row for each place where the subject was scored or timed."""
    manifest = bundle.manifest
    arm = subject if subject in manifest.arms else manifest.recipe.ship
    role = manifest.engines[subject].role if subject in manifest.engines else ""
    found = {device: None for name, of, device in latest
             if of.removesuffix(f" on {device}") == subject and name in (metric, "latency")}  # fmt: skip

    def score_of(name: str, device: str) -> Figure | None:
        return latest.get((name, f"{subject} on {device}", device)) or latest.get((name, subject, ""))

    for device in found:
        score = score_of(metric, device)
        if score is not None:
            yield Row(
                run=manifest.name,
                target=manifest.target.name,
                title=manifest.arms[subject].title if subject in manifest.arms else subject,
                device=device,
                role=role or ("shipped" if subject == manifest.recipe.ship else ""),
                score=score,
                kept=score_of("retained", device),
                size=latest.get(("weight_bytes", arm, "")),
                macs=latest.get(("macs", arm, "")),
                latency=latest.get(("latency", subject, device)),
            )


def _group(runs: Sequence[Run], path: Path) -> dict[str, Any]:
    """One table and its charts."""
    unit = runs[0].unit
    ylabel = f"{runs[0].title}{f', {unit}' * bool(unit)}"
    rows = [row for run in runs for row in run.rows]
    arms = [row for row in rows if row.role in ("", "shipped") and not row.device]  # an engine weighs what its arm does
    charts = [
        ("Against latency", _chart(rows, runs[0].sign, ylabel, "latency, ms", lambda row: row.latency)),
        ("Against size", _chart(arms, runs[0].sign, ylabel, "weights and biases, kB", lambda row: row.size, 1e-3)),
    ]
    return {
        "ylabel": ylabel,
        "alike": len({run.samples for run in runs}) == 1,
        "runs": [(run, _link(run.bundle.run / "report.html", path)) for run in runs],
        "charts": [(title, Markup(svg)) for title, svg in charts if svg],
    }


def _chart(
    rows: Sequence[Row],
    sign: int,
    ylabel: str,
    xlabel: str,
    cost: Callable[[Row], Figure | None],
    times: float = 1.0,
) -> str:
    """Score against `times` a cost, one colour a run and device; empty where the cost was never got."""
    marks = []
    for row in rows:
        if figure := cost(row):
            low, x, high = (times * v for v in _ends(figure))
            marks.append(Mark(x, row.score.value, row.label, row.title, row.score.interval, (low, high)))
    best = [(x, sign * y) for x, y in front([(m.x, sign * m.y) for m in marks])]
    return scatter(marks, best, xlabel, ylabel) if marks else ""


def _ends(figure: Figure) -> tuple[float, float, float]:
    """A value between the ends of its interval."""
    low, high = figure.interval or (figure.value, figure.value)
    return low, figure.value, high


def _link(report: Path, page: Path) -> str:
    return quote(os.path.relpath(report.resolve(), page.resolve().parent))
