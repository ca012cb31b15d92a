"""A hand model from arrays that came from outside: whether they are what they must be. numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import RequestError
from edgekd.students.fast_hamer.hand.model import JOINTS, SHAPES, HandModel

Arrays = Mapping[str, NDArray[Any]]
SUMS = 0.01
"""How far sums of weights may be from one."""


def arrays_of(model: HandModel) -> dict[str, NDArray[Any]]:
    """What `model_of` takes, by the names of the fields."""
    return {field.name: np.asarray(getattr(model, field.name)) for field in fields(model)}


def model_of(arrays: Arrays, source: str) -> HandModel:
    """A hand model of any number of vertices. `name` and `licence` are texts; the rest is as in `HandModel`.

    Raises RequestError, with all that is wrong.
    """
    hint = "name another file in `data.hand`"
    if missing := [f"`{field.name}`" for field in fields(HandModel) if field.name not in arrays]:
        raise RequestError(f"`{source}` is no hand model: it lacks {', '.join(missing)}", hint)
    if wrong := _wrong(arrays):
        raise RequestError(f"`{source}` is no hand model: {'; '.join(wrong)}", hint)
    texts = {name: str(arrays[name]) for name in ("name", "licence")}
    numbers = {name: np.ascontiguousarray(arrays[name], np.float32) for name in _shapes(0, 0) if name != "faces"}
    faces = np.ascontiguousarray(arrays["faces"], np.int32)
    return HandModel(**texts, **numbers, faces=faces, tips=tuple(map(int, arrays["tips"])))  # type: ignore[arg-type]


def _shapes(vertices: int, faces: int) -> dict[str, tuple[int, ...]]:
    return {
        "template": (vertices, 3),
        "shapedirs": (vertices, 3, SHAPES),
        "posedirs": (vertices, 3, 9 * (JOINTS - 1)),
        "regressor": (JOINTS, vertices),
        "weights": (vertices, JOINTS),
        "faces": (faces, 3),
    }


def _wrong(arrays: Arrays) -> list[str]:
    count, faces, tips = (len(np.atleast_1d(arrays[name])) for name in ("template", "faces", "tips"))
    wrong = []
    for name, shape in _shapes(count, faces).items():
        array, (kinds, wanted) = arrays[name], ("iu", "int") if name == "faces" else ("f", "float")
        if array.shape != shape or array.dtype.kind not in kinds or not array.size:
            wrong.append(f"`{name}` is {array.dtype} of {array.shape}, not {wanted} of {shape}")
        elif not np.isfinite(array).all():
            wrong.append(f"`{name}` holds numbers that are not finite")
    if tips != 5 or arrays["tips"].dtype.kind not in "iu":
        wrong.append("`tips` is not five vertices")
    return wrong or _unsound(arrays, count)


def _unsound(arrays: Arrays, count: int) -> list[str]:
    """What is wrong in arrays of the right shapes."""
    outside = [n for n in ("faces", "tips") if arrays[n].min() < 0 or arrays[n].max() >= count]
    wrong = [f"`{name}` names vertices that do not exist" for name in outside]
    for name in ("weights", "regressor"):
        if np.abs(arrays[name].sum(1) - 1).max() > SUMS:
            wrong.append(f"rows of `{name}` do not add to one")
    return wrong
