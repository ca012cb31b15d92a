"""The short tables that `compress`, `verify` and `bench` end with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgekd.cli.console import table
from edgekd.errors import Problem
from edgekd.evidence import Bundle, Figure
from edgekd.students.registry import bundled_task
from edgekd.verify.scores import answers_without
from edgekd.verify.teachers import poor_teachers

if TYPE_CHECKING:
    from edgekd.devices.bench import Benched


def print_scores(bundle: Bundle, figures: Sequence[Figure]) -> None:
    """Arms and artifacts: the task's metric, which is the first figure's, with its interval; another; what is kept."""
    by = {(f.name, f.subject): f for f in figures}
    recipe, metric, unit = bundle.manifest.recipe, figures[0].name, figures[0].unit
    measured = [f for f in figures if f.subject == recipe.ship and f.kind == "measured"]
    second = next((f for f in measured if f.name not in (metric, "retained")), None)
    titles = {name: arm.title for name, arm in bundle.manifest.arms.items()}
    task = bundled_task(bundle)
    controls = answers_without(task)
    rows = []
    for (name, subject), figure in by.items():
        if name == metric:
            other, kept = by.get((second.name if second else "", subject)), by.get(("retained", subject))
            low, high = figure.interval or (figure.value, figure.value)
            mark = " (shipped)" if subject == recipe.ship else " (control)" if subject in controls else ""
            rows.append([
                titles.get(subject, subject) + mark,
                f"{figure.value:.3f}",
                f"[{low:.2f}, {high:.2f}]",
                *([f"{other.value:.3f}" if other.unit else f"{other.value:.4f}"] if other else [""] if second else []),
                f"{kept.value:.2%}" if kept else "",
            ])  # fmt: skip
    headers = ["", f"{metric} {unit}".strip(), "95 % interval"]
    headers += [f"{second.name} {second.unit}".strip()] if second else []
    headers += ["of FP32 gain" if task.baseline else "of FP32"]
    table(headers, rows, right=tuple(range(1, len(headers))))
    for sentence in poor_teachers(recipe, task, figures):
        print(sentence)


def print_parity(figures: Sequence[Figure]) -> None:
    """Each hop."""
    rows = [
        [f.subject, f"{f.value:.4%}", str(f.details["largest"]), f.details["first_beyond"] or "none"]
        for f in figures
        if f.name == "parity"
    ]
    table(["hop", "equal codes", "largest", "first tensor beyond its bound"], rows, right=(1, 2))


def print_worst(bundle: Bundle, figures: Sequence[Figure]) -> None:
    """The sample, and the group where samples have groups, that each subject loses most against FP32."""
    titles = {name: arm.title for name, arm in bundle.manifest.arms.items()}
    rows = []
    for f in figures:
        if f.name in ("worst sample drop", "worst group drop"):
            loss, unit = f.details["losses"][0], f" {f.unit}" if f.unit else ""
            what = f"{loss['full']:.2f} → {loss['ours']:.2f}{unit}"
            n = str(loss["n"]) if f.name == "worst group drop" else ""
            rows.append(
                [
                    titles.get(f.subject, f.subject),
                    f.name.split()[1],
                    loss["name"],
                    n,
                    what,
                    f"{loss['ours'] - loss['full']:+.2f}",
                ]
            )
    table(["worst against FP32", "", "which", "samples", "FP32 → it", "change"], rows, right=(3, 5))


def print_costs(bundle: Bundle, figures: Sequence[Figure]) -> None:
    """Counts, then what was measured on this host."""
    titles = {name: arm.title for name, arm in bundle.manifest.arms.items()}
    rows = [
        [f.name, titles.get(f.subject, f.subject), f"{f.value:,.0f} {f.unit}".strip(), f.kind]
        for f in figures
        if f.kind == "estimated"
    ]
    table(["cost", "of", "value", "how"], rows, right=(2,))
    if measured := [f for f in figures if f.device]:
        print()
        print_measured(measured, titles)


def print_device(found: Benched, titles: Mapping[str, str]) -> None:
    """One device: what was measured, what its answers are worth, what is doubtful and what was not looked at."""
    print(f"\n{found.device}: {found.host}")
    print_measured(found.figures, titles)
    held = sum(gate.held for gate in found.gates)
    if found.gates:
        print(f"{held} of {len(found.gates)} gates held")
    for note in found.notes:
        print(f"{note}" + (f" ({note.hint})" if note.hint else ""))


def print_measured(figures: Sequence[Figure], titles: Mapping[str, str]) -> None:
    """What was measured on a device, and what of its state makes that doubtful."""
    rows = [[f.name, titles.get(f.subject, f.subject), told(f), f.kind, f.tool] for f in figures if f.name != "state"]
    if rows:
        table(["what", "of", "value", "how", "by"], rows)
    for figure in figures:
        if figure.name == "state":
            for warning in figure.details["warnings"]:
                print(f"doubtful: {warning}")


def told(figure: Figure) -> str:
    """A figure of a device as it is read."""
    value, details = figure.value, figure.details
    low, high = figure.interval or (value, value)
    short = ", short measurement" if details.get("short") else ""
    if figure.name == "latency":
        threads = f"{details['threads']} thread{'s' * (details['threads'] > 1)}"
        tail = f"p90 {details['p90']:.3g}, p99 {details['p99']:.3g}, {figure.n} runs, {threads}"
        return f"{value:.3g} ms ({tail}){short}"
    if figure.name.startswith("speed-up"):
        return f"{value:.2f} times [{low:.2f}, {high:.2f}]{short}"
    if figure.name == "peak memory":
        return f"{value / 2**20:.1f} MiB"
    if figure.name.startswith("energy"):
        return f"{value * 1e3:.3g} mJ above idle, {details['gross'] * 1e3:.3g} mJ in all"
    if figure.name in ("parity", "retained"):
        return f"{value:.4%}"
    return f"{value:.4f} {figure.unit}".strip()


def print_skipped(skipped: Sequence[Problem]) -> None:
    """What was not looked at here, and why."""
    for problem in skipped:
        print(f"not looked at here: {problem.where} {problem.message}" + (f" ({problem.hint})" if problem.hint else ""))


def print_notes(notes: Sequence[Problem]) -> None:
    """What was taken for granted of a model file, and engines that do not run it."""
    for note in notes:
        print(f"note: {note}" + (f" ({note.hint})" if note.hint else ""))
