"""Still pictures: read as a raw sample, answered, written; an answer as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edgekd.apply.model import Model
from edgekd.errors import RequestError
from edgekd.graph.answers import by_output, is_picture, is_ranking, ranked, tell, tell_output
from edgekd.graph.images import read_picture
from edgekd.graph.resize import Picture
from edgekd.schema.io import ClassesOutput, ImageInput, IoRecord, Output

LISTED = 64
"""Numbers of a tensor that are written out in JSON; larger ones are told by their shape."""


def read_raw(files: Sequence[Path], io: IoRecord) -> Any:
    """A raw sample from one picture file an input, in the record's order. Raises RequestError on a misfit."""
    specs = [spec for spec in io.inputs if isinstance(spec, ImageInput)]
    if len(specs) < len(io.inputs):
        hint = "of a model file say with `--io` which inputs are pictures; else run it from Python on its samples"
        raise RequestError("the network takes more than pictures", hint)
    if len(files) != len(specs):
        names = ", ".join(f"`{spec.name}`" for spec in specs)
        raise RequestError(f"the network takes {len(specs)} pictures, not {len(files)}", f"one each for {names}")
    raw = {spec.name: read_picture(file, spec.color) for spec, file in zip(specs, files, strict=True)}
    for spec in specs:
        check_size(raw[spec.name], spec)
    return raw if len(specs) > 1 else raw[specs[0].name]


def check_size(picture: Picture, spec: ImageInput) -> None:
    """Raises RequestError for a picture that the input's resize rule does not take."""
    if spec.resize == "none" and (size := picture.shape[:2]) != spec.shape[2:]:
        raise RequestError(f"the picture has {size} pixels, the network takes {spec.shape[2:]}", "crop it")


def write(path: Path, model: Model, raw: Any, answer: Any) -> None:
    """An answer as arrays where the file is an `.npz`, else drawn. Raises RequestError when that cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".npz":
            np.savez(path, **(answer if isinstance(answer, dict) else {"answer": answer}))
        else:
            Image.fromarray(model.draw(raw, answer)).save(path, quality=95)
    except (OSError, ValueError) as error:
        raise RequestError(f"`{path}` cannot be written: {error}", "name a file like `out.png` or `out.npz`") from None


def plain(answer: Any, io: IoRecord) -> Any:
    """An answer as JSON, by output: labels with their values, numbers where they are few, else a few words."""
    parts = by_output(answer, io)
    return tell(answer, io) if parts is None else {s.name: _plain_output(parts[s.name], s) for s in io.outputs}


def _plain_output(answer: Any, spec: Output) -> Any:
    if isinstance(spec, ClassesOutput) and is_ranking(answer, spec):
        return dict(ranked(answer, spec))
    few = isinstance(answer, np.ndarray) and answer.size <= LISTED and not is_picture(answer)
    return answer.tolist() if few else tell_output(answer, spec)
