"""The short tables that `compress`, `verify` and `bench` end with."""

from __future__ import annotations

from collections.abc import Sequence

from edgekd.cli.console import table
from edgekd.errors import Problem
from edgekd.evidence import Bundle, Figure


def print_scores(bundle: Bundle, figures: Sequence[Figure]) -> None:
    """Arms and artifacts: metric with interval, SSIM, retained gain."""
    by = {(f.name, f.subject): f for f in figures}
    recipe = bundle.manifest.recipe
    metric = next(f.name for f in figures if f.unit == "dB" or f.name not in ("retained", "parity", "ssim"))
    titles = {name: arm.title for name, arm in bundle.manifest.arms.items()}
    rows = []
    for (name, subject), figure in by.items():
        if name == metric:
            ssim, kept = by.get(("ssim", subject)), by.get(("retained", subject))
            low, high = figure.interval or (figure.value, figure.value)
            shipped = " (shipped)" if subject == recipe.ship else ""
            rows.append([
                titles.get(subject, subject) + shipped,
                f"{figure.value:.3f}",
                f"[{low:.2f}, {high:.2f}]",
                f"{ssim.value:.4f}" if ssim else "",
                f"{kept.value:.2%}" if kept else "",
            ])  # fmt: skip
    unit = next(f.unit for f in figures if f.name == metric)
    table(["", f"{metric} {unit}".strip(), "95 % interval", "ssim", "of FP32 gain"], rows, right=(1, 2, 3, 4))


def print_parity(figures: Sequence[Figure]) -> None:
    """Each hop."""
    rows = [
        [f.subject, f"{f.value:.4%}", str(f.details["largest"]), f.details["first_beyond"] or "none"]
        for f in figures
        if f.name == "parity"
    ]
    table(["hop", "equal codes", "largest", "first tensor beyond its bound"], rows, right=(1, 2))


def print_costs(bundle: Bundle, figures: Sequence[Figure]) -> None:
    """Counts, then latency where it was measured."""
    titles = {name: arm.title for name, arm in bundle.manifest.arms.items()}
    rows = []
    for f in figures:
        if f.kind == "estimated":
            rows.append([f.name, titles.get(f.subject, f.subject), f"{f.value:,.0f} {f.unit}".strip(), f.kind])
        elif f.name == "latency":
            p90, threads = f.details["p90"], f.details["threads"]
            text = f"{f.value:.2f} ms (p90 {p90:.2f}, {threads} thread{'s' * (threads > 1)})"
            rows.append([f.name, titles.get(f.subject, f.subject), text, f"{f.kind}, {f.tool}"])
    table(["cost", "of", "value", "how"], rows, right=(2,))


def print_skipped(skipped: Sequence[Problem]) -> None:
    """What was not looked at here, and why."""
    for problem in skipped:
        print(f"not looked at here: {problem.where} {problem.message}" + (f" ({problem.hint})" if problem.hint else ""))
