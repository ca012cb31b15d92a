"""Pictures of a few samples, kept beside the ledger for the report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edgekd.evidence import Bundle
from edgekd.graph.answers import is_picture, pictures, tell, tell_truth
from edgekd.graph.model import Graph, read_model
from edgekd.graph.resize import Picture
from edgekd.schema.io import IoRecord
from edgekd.store import write_atomic
from edgekd.students.base import Sample, Task, sign_of
from edgekd.students.registry import bundled_task
from edgekd.verify.check import Verification
from edgekd.verify.panels import Panel, panels
from edgekd.verify.scores import Scores

FOLDER = "pictures"
ANSWERS = "answers.json"
COUNT = 3
WORST, SPREAD = 8, 8
GAIN = 8
"""Error maps show eight times the absolute error."""


def save_pictures(bundle: Bundle, found: Verification) -> Path:
    """A few samples with the answers of FP32 and of the shipped net: as pictures where they are, else in words."""
    task, recipe = bundled_task(bundle), bundle.manifest.recipe
    io = Graph(read_model(bundle.path / "graph.onnx")).io
    folder = bundle.run / FOLDER
    folder.mkdir(exist_ok=True)
    samples, arms = task.evalset(), [found.scores[name] for name in (recipe.reference, recipe.ship)]
    base = [found.scores[task.baseline]] if task.baseline is not None else []
    if base and _comparable([samples[0].truth, *(s.predictions[0] for s in (*base, *arms))]):
        _save_restored(folder, samples, task, [*base, *arms])
    else:
        _save_answers(folder, samples, io, task, arms)
    return folder


def _save_restored(folder: Path, samples: list[Sample], task: Task, subjects: list[Scores]) -> None:
    """Truth, input, FP32 and shipped answers of samples spread over the evaluation set, and their error maps."""
    for i in _spread(subjects[0].values[task.metric], COUNT):
        name = _file(samples[i].id)
        for s in subjects:
            _save(folder / f"{name}--{s.subject}.png", s.predictions[i])
            _save(folder / f"{name}--{s.subject}--error.png", error_map(s.predictions[i], samples[i].truth))
        _save(folder / f"{name}--truth.png", samples[i].truth)


def _save_answers(folder: Path, samples: list[Sample], io: IoRecord, task: Task, arms: list[Scores]) -> None:
    """The shipped net's worst samples and some spread over the evaluation set: panels where answers are masks, else
    input, truth and answers in words."""
    values = arms[-1].values[task.metric]
    worst = [int(i) for i in np.argsort(sign_of(task, task.metric) * np.array(values), kind="stable")[:WORST]]
    others = [i for i in _spread(range(len(samples)), SPREAD) if i not in worst]
    told = [_save_answer(folder, samples[i], i, io, task, arms) | {"group": group, "value": values[i]}
            for group, picks in (("worst", worst), ("spread", others)) for i in picks]  # fmt: skip
    write_atomic(folder / ANSWERS, json.dumps(told, indent=1).encode())


def _save_answer(folder: Path, sample: Sample, i: int, io: IoRecord, task: Task, arms: list[Scores]) -> dict[str, Any]:
    """What the report says of one sample; its pictures are written."""
    if found := _save_panels(folder, panels(task, io, sample, i, arms), _file(sample.id)):
        return {"id": sample.id, "panels": found}
    shown = next(iter(pictures(sample.raw, io).values()), None)
    name = "" if shown is None else f"{_file(sample.id)}--input.png"
    if shown is not None:
        _save(folder / name, shown)
    told = {s.subject: tell(s.predictions[i], io) for s in arms}
    return {"id": sample.id, "picture": name, "truth": tell_truth(sample.truth, io), "answers": told}


def _save_panels(folder: Path, found: Iterable[Panel], name: str) -> list[dict[str, Any]]:
    """Each panel's file, subject and score."""
    out = []
    for panel in found:
        file = f"{name}--panel-{panel.subject}.png"
        _save(folder / file, panel.picture)
        out.append({"file": file, "subject": panel.subject, "value": panel.value})
    return out


def error_map(prediction: Picture, truth: Picture) -> Picture:
    """Mean absolute error over the channels, times `GAIN`, as grey."""
    error = np.abs(prediction.astype(int) - truth.astype(int)).reshape(*truth.shape[:2], -1).mean(2) * GAIN
    return np.repeat(np.clip(error, 0, 255).astype(np.uint8)[..., None], 3, 2)


def _spread(values: Sequence[float], count: int) -> list[int]:
    """Indices from the least to the largest value, evenly over the ranks."""
    order = np.argsort(values, kind="stable")
    return sorted({int(order[i]) for i in np.linspace(0, len(order) - 1, count).round().astype(int)})


def _comparable(answers: list[Any]) -> bool:
    """Pictures of one size and kind."""
    return all(is_picture(answer) for answer in answers) and len({answer.shape for answer in answers}) == 1


def _file(name: str) -> str:
    """A sample's name without what cannot be in a file's."""
    return name.replace("/", "_")


def _save(path: Path, picture: Picture) -> None:
    """Whole at once: another process may be reading the run's folder."""
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    write_atomic(path, buffer.getvalue())
