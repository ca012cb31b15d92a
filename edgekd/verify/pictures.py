"""Pictures of a few samples, kept beside the ledger for the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from edgekd.evidence import Bundle
from edgekd.graph.images import Picture
from edgekd.students.registry import find_student
from edgekd.verify.check import Verification

FOLDER = "pictures"
COUNT = 3
GAIN = 8
"""Error maps show eight times the absolute error."""


def save_pictures(bundle: Bundle, found: Verification) -> Path:
    """Truth, input, FP32 and shipped answers of samples spread over the evaluation set, and their error maps."""
    recipe = bundle.manifest.recipe
    task = find_student(recipe.student).make_task(recipe.data, recipe.seed)
    folder = bundle.run / FOLDER
    folder.mkdir(exist_ok=True)
    samples = task.evalset()
    raw = found.scores[task.input_name]
    order = np.argsort(raw.values[task.metric], kind="stable")
    picks = sorted({int(order[i]) for i in np.linspace(0, len(order) - 1, COUNT).round().astype(int)})
    for i in picks:
        for subject in (task.input_name, recipe.teacher, recipe.ship):
            prediction = found.scores[subject].predictions[i]
            _save(folder / f"{samples[i].id}--{subject}.png", prediction)
            _save(folder / f"{samples[i].id}--{subject}--error.png", error_map(prediction, samples[i].truth))
        _save(folder / f"{samples[i].id}--truth.png", samples[i].truth)
    return folder


def error_map(prediction: Picture, truth: Picture) -> Picture:
    """Mean absolute error over the channels, times `GAIN`, as grey."""
    error = np.abs(prediction.astype(int) - truth.astype(int)).mean(2) * GAIN
    return np.repeat(np.clip(error, 0, 255).astype(np.uint8)[..., None], 3, 2)


def _save(path: Path, picture: Picture) -> None:
    Image.fromarray(picture).save(path, optimize=True)
