"""One self-contained HTML file from a run's folder: bundle, ledger, pictures."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from edgekd.backends.base import read_artifact
from edgekd.evidence import Bundle, Figure
from edgekd.graph.masks import COLORS, MISSED, TOO_MUCH, TRUE, Color
from edgekd.graph.model import Graph, read_model
from edgekd.report.charts import curves, differences, means
from edgekd.report.devices import devices, rows
from edgekd.schema.recipe import TAUGHT
from edgekd.store import write_atomic
from edgekd.students.base import Task, sign_of, title_of, unit_of
from edgekd.students.registry import bundled_task
from edgekd.verify.scores import answers_without, control_names
from edgekd.verify.teachers import poor_teachers

Figures = dict[tuple[str, str], Figure]
COUNTS = {"parameters": "parameters", "macs": "multiply-accumulates", "weight_bytes": "weights and biases",
          "peak_activation_bytes": "peak activations"}  # fmt: skip
BARS = 40
"""Samples up to which each has its bar in a chart."""


def write_report(bundle: Bundle) -> Path:
    """Write `report.html` beside the bundle."""
    path = bundle.run / "report.html"
    write_atomic(path, render("template.html.jinja", content(bundle)).encode())
    return path


def render(template: str, shown: dict[str, Any]) -> str:
    """A page of this folder's templates."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "si": si,
        "interval": interval,
        "percent": lambda x: f"{x:.2%}",
        "fixed": format,
    }
    return environment.get_template(template).render(**shown)


def content(bundle: Bundle) -> dict[str, Any]:
    """Everything the template shows."""
    manifest, recipe = bundle.manifest, bundle.manifest.recipe
    ledger = bundle.ledger.read()
    latest: Figures = {(f.name, f.subject): f for f in ledger}
    found = devices(ledger)
    titles = {name: arm.title for name, arm in manifest.arms.items()}
    task = bundled_task(bundle)
    gates = latest["failed gates", manifest.name]
    return {
        "manifest": manifest,
        "recipe": recipe,
        "target": manifest.target,
        "task": task,
        "gates": gates,
        "metric": title_of(task, task.metric),
        "unit": f" {task.unit}" if task.unit else "",
        "metrics": _metrics(latest, task, recipe.ship),
        "rows": _rows(bundle, latest, task),
        "poor_teachers": poor_teachers(recipe, task, latest.values()),
        "losses": _losses(latest),
        "hops": [f for (name, _), f in latest.items() if name == "parity"],
        "costs": _costs(latest, [recipe.reference, recipe.ship]),
        "devices": found,
        "side_by_side": rows(found, titles, task.metric, f" {task.unit}" if task.unit else ""),
        "samples": _samples(bundle, task.baseline),
        "answers": _answers(bundle),
        "charts": [(title, Markup(svg)) for title, svg in _charts(bundle, latest, task)],
        "engines": {name: (record, read_artifact(bundle.path / "artifacts" / name))
                    for name, record in manifest.engines.items()},
        "io": Graph(read_model(bundle.path / "graph.onnx")).io,
        "recipe_json": json.dumps(recipe.plain(), indent=1),
        "target_json": json.dumps(manifest.target.plain(), indent=1),
        "titles": titles,
        "colors": {"answer": css(COLORS[0]), "true": css(TRUE), "too_much": css(TOO_MUCH), "missed": css(MISSED)},
    }  # fmt: skip


def _metrics(latest: Figures, task: Task, ship: str) -> list[dict[str, str]]:
    """The task's metrics, its own first, the others as the ledger has them: figures about the same samples."""
    samples = latest[task.metric, ship].details.keys()
    names = [f.name for f in latest.values() if f.subject == ship and f.details.keys() == samples]
    return [
        {"name": name, "title": title_of(task, name), "unit": unit_of(task, name),
         "form": ".2f" if unit_of(task, name) else ".4f"}
        for name in sorted(names, key=lambda name: name != task.metric)
    ]  # fmt: skip


def _rows(bundle: Bundle, latest: Figures, task: Task) -> list[dict[str, Any]]:
    """The table of controls, arms and artifacts; gains count from the baseline, where the task has one."""
    manifest, metric, controls = bundle.manifest, task.metric, answers_without(task)
    subjects = [*control_names(task), *manifest.arms, *manifest.engines]
    base = latest[metric, task.baseline].value if task.baseline else 0.0
    titles = {name: arm.title for name, arm in manifest.arms.items()}
    return [
        {
            "title": titles.get(subject, subject),
            "control": subject in controls,
            "engine": subject in manifest.engines,
            "ship": subject == manifest.recipe.ship,
            "teacher": subject == manifest.recipe.reference,
            "stand_in": subject in manifest.engines and manifest.engines[subject].role == "stand-in",
            "metric": latest[metric, subject],
            "every": [latest.get((m["name"], subject)) for m in _metrics(latest, task, manifest.recipe.ship)],
            "gain": sign_of(task, metric) * (latest[metric, subject].value - base) + 0.0,  # never -0
            "retained": latest.get(("retained", subject)),
        }
        for subject in subjects
        if (metric, subject) in latest
    ]


def _losses(latest: Figures) -> list[dict[str, Any]]:
    """What each subject loses most against FP32: groups, then samples; `rest` of the groups apart."""
    rows = []
    for what in ("group", "sample"):
        for (name, subject), f in latest.items():
            if name == f"worst {what} drop":
                rows.append({"what": what, "subject": subject, "figure": f, "losses": f.details["losses"]})
    return rows


def _costs(latest: Figures, arms: list[str]) -> list[dict[str, Any]]:
    return [{"title": title, "figures": [latest[name, arm] for arm in arms]} for name, title in COUNTS.items()]


def _charts(bundle: Bundle, latest: Figures, task: Task) -> Iterator[tuple[str, str]]:
    """Losses of the teacher, of the students, of distillation; each sample's distance to FP32, means where they are
    many."""
    teacher, arms = bundle.manifest.recipe.reference, bundle.manifest.arms
    found: dict[str, dict[str, list[float]]] = {"teacher": {}, "students": {}, "distillation": {}}
    for name, arm in arms.items():
        path = bundle.path / "arms" / f"{name}.curve.json"
        for part, values in json.loads(path.read_text(encoding="utf-8")).items() if path.exists() else ():
            kind = "distillation" if part != "task" else "teacher" if arm.method in TAUGHT else "students"
            found[kind][arm.title if part == "task" else f"{arm.title}, {part}"] = values
    several = "s" * any(arm.method == "control" for arm in arms.values())
    titles = {"teacher": f"Training of the FP32 net{several}", "students": "Training from it on",
              "distillation": "Distillation losses, as weighted"}  # fmt: skip
    for kind, series in found.items():
        if series:
            yield titles[kind], curves(series, "loss")
    full = latest[task.metric, teacher].details
    columns = {
        arm.title: {i: value - full[i] for i, value in latest[task.metric, name].details.items()}
        for name, arm in arms.items()
        if name != teacher
    }
    ylabel = title_of(task, task.metric) + (f", {task.unit}" if task.unit else "")
    if columns and len(full) <= BARS:
        yield f"Difference to {arms[teacher].title}, each sample", differences(columns, ylabel)
    elif columns:
        rows = [(row["title"], row["metric"]) for row in _rows(bundle, latest, task)]
        yield (
            "Means and their 95 % intervals",
            means([(t, f.value, f.interval or (f.value,) * 2) for t, f in rows], ylabel),
        )


def _samples(bundle: Bundle, raw: str | None) -> list[dict[str, Any]]:
    """Pictures by sample: what is seen, and the error below it."""
    recipe, arms, folder = bundle.manifest.recipe, bundle.manifest.arms, bundle.run / "pictures"
    out = []
    for truth in sorted(folder.glob("*--truth.png")):
        sample = truth.name.removesuffix("--truth.png")
        columns = []
        for subject in (*([raw] if raw else []), recipe.reference, recipe.ship):
            path = folder / f"{sample}--{subject}.png"
            title = arms[subject].title if subject in arms else subject
            columns.append({"title": title, "picture": _inline(path),
                            "error": _inline(path.with_name(f"{sample}--{subject}--error.png"))})  # fmt: skip
        out.append({"id": sample, "columns": columns, "truth": _inline(truth)})
    return out


def _answers(bundle: Bundle) -> list[dict[str, Any]]:
    """Samples whose answers are masks, as panels, or are told in words, with their pictures where they have one."""
    folder = bundle.run / "pictures"
    path = folder / "answers.json"
    told = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return [
        entry | {"picture": entry.get("picture") and _inline(folder / entry["picture"]),
         "panels": [panel | {"picture": _inline(folder / panel["file"])} for panel in entry.get("panels", ())]}
        for entry in told
    ]  # fmt: skip


def _inline(path: Path) -> str:
    """A picture as a data URI; WebP at quality 90, for looking at only."""
    buffer = io.BytesIO()
    with Image.open(path) as image:
        image.save(buffer, "WEBP", quality=90, method=6)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def css(color: Color) -> str:
    """A colour as CSS writes it."""
    return f"rgb{color}"


def si(value: float) -> str:
    """Three digits with a decimal prefix: 1234567 as `1.23 M`."""
    for power, prefix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= power:
            return f"{value / power:.3g}{prefix}"
    return f"{value:g}"


def interval(figure: Figure, form: str = ".2f") -> str:
    """A figure's interval as `low to high`."""
    if figure.interval is None:
        return ""
    low, high = (format(end, form) for end in figure.interval)
    return f"{low} to {high}"
