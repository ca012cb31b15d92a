"""MANO's file (Romero et al. 2017), which a person brings: a Python 2 pickle, read without running any of it. numpy.

Beside arrays, see `unpickle`, the few names that MANO's files hold stand for classes that keep what they are given;
arrays are then built from what was kept.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import EdgekdError, MissingError, RequestError
from edgekd.resources import cache_root, sha256
from edgekd.store import write_atomic
from edgekd.students.arrays import read_arrays
from edgekd.students.fast_hamer.hand.arrays import arrays_of, model_of
from edgekd.students.fast_hamer.hand.model import JOINTS, PARENTS, TIPS, VERTICES, HandModel
from edgekd.students.fast_hamer.unpickle import unpickled

FIELDS = {
    "v_template": "template", "shapedirs": "shapedirs", "posedirs": "posedirs", "J_regressor": "regressor",
    "weights": "weights", "f": "faces",
}  # fmt: skip
"""Names in the file, and ours."""
LARGEST = 200_000_000
"""Bytes of a file that is read; MANO's have fewer than 10 million."""
LICENCE = "MANO: research only, not to be passed on"
HINT = "name the `MANO_RIGHT.pkl` of mano.is.tue.mpg.de"


def read_mano(path: Path) -> HandModel:
    """The hand model of a `MANO_RIGHT.pkl`. What was read is kept as an `.npz` in edgekd's cache on this machine.

    Raises MissingError where the file is not, RequestError where it is not MANO's or asks for anything to be run.
    """
    if not path.is_file():
        raise MissingError(f"the hand model `{path}` does not exist", HINT)
    if "LEFT" in path.stem.upper():
        raise RequestError(f"`{path}` is of a left hand; left hands are mirrored, so the right one is needed", HINT)
    if path.stat().st_size > LARGEST:
        raise RequestError(f"`{path}` is too large to be a hand model", HINT)
    kept = cache_root() / "mano" / f"{sha256(path)}.npz"
    with suppress(EdgekdError):
        return model_of(read_arrays(kept), str(path))
    model = model_of(_arrays(path), str(path))
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays_of(model))  # type: ignore[arg-type]
        write_atomic(kept, buffer.getvalue())
    return model


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """What is in the file under the names of HandModel. Raises RequestError."""
    content = unpickled(path.read_bytes(), str(path), ALLOWED)
    wanted = [*FIELDS, "kintree_table"]
    if missing := [f"`{name}`" for name in wanted if not isinstance(content, dict) or name not in content]:
        raise RequestError(f"`{path}` is no MANO file: it lacks {', '.join(missing)}", HINT)
    try:
        found = {name: array_of(content[name]) for name in wanted}
    except Exception as error:  # whatever a wrong file brings numpy to say
        raise RequestError(f"`{path}` is no MANO file: an array in it is broken: {error}", HINT) from None
    if found["kintree_table"].shape != (2, JOINTS) or tuple(found["kintree_table"][0, 1:]) != PARENTS[1:]:
        raise RequestError(f"`{path}` is no MANO file: its joints hang together otherwise", HINT)
    if (count := len(np.atleast_1d(found["v_template"]))) != VERTICES:
        raise RequestError(f"`{path}` is no MANO file: it has {count} vertices, not {VERTICES}", HINT)
    told = {"name": np.array("MANO"), "licence": np.array(LICENCE), "tips": np.array(TIPS)}
    return {FIELDS[name]: found[name] for name in FIELDS} | told


class Held:
    """A thing that a pickle asks to be made: not made, but what it would be made from is kept."""

    state: Any = None

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def array(self) -> NDArray[Any]:
        """As numpy would have it. Any error where what is kept does not fit."""
        raise TypeError(f"a {type(self).__name__} is no array")


class Ch(Held):
    """`chumpy.ch.Ch`: an array in a shell."""

    def array(self) -> NDArray[Any]:
        """What is in the shell."""
        return array_of(self.state["x"])


class Select(Held):
    """`chumpy.reordering.Select`: some numbers of another array, in another shape."""

    def array(self) -> NDArray[Any]:
        """The numbers that were picked."""
        picked = array_of(self.state["a"]).ravel()[array_of(self.state["idxs"])]
        return np.reshape(picked, [int(n) for n in array_of(self.state["preferred_shape"])])


class Columns(Held):
    """`scipy.sparse.csc_matrix`: numbers column by column, the rows they are in, where each column begins."""

    def array(self) -> NDArray[Any]:
        """Dense; repeated places add up."""
        data, rows, begins = (array_of(self.state[name]) for name in ("data", "indices", "indptr"))
        shape = self.state.get("_shape", (JOINTS, VERTICES))
        if tuple(shape) != (JOINTS, VERTICES) or len(begins) != VERTICES + 1:
            raise ValueError(f"a sparse matrix of {shape}")
        dense = np.zeros((JOINTS, VERTICES))
        np.add.at(dense, (rows, np.repeat(np.arange(VERTICES), np.diff(begins))), data)
        return dense


ALLOWED: Mapping[tuple[str, str], type[Held]] = {
    ("__builtin__", "set"): Held,
    ("builtins", "set"): Held,
    ("chumpy.ch", "Ch"): Ch,
    ("chumpy.reordering", "Select"): Select,
    **{(f"scipy.sparse.{module}", "csc_matrix"): Columns for module in ("csc", "_csc")},
}
"""What a file may name beside arrays, and what stands for it."""


def array_of(value: Any) -> NDArray[Any]:
    """An array of what was kept, or of plain numbers. Any error where it is none."""
    return value.array() if isinstance(value, Held) else np.asarray(value)
