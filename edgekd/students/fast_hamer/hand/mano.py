"""MANO's file (Romero et al. 2017), which a person brings: a Python 2 pickle, read without running any of it. numpy.

A pickle names functions and has them called. Here each of the few names that MANO's files hold stands for a class that
keeps what it is given, and any other name ends the reading; arrays are then built from what was kept.
"""

from __future__ import annotations

import io
import pickle
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import EdgekdError, MissingError, RequestError
from edgekd.resources import sha256
from edgekd.store import write_atomic
from edgekd.students.arrays import read_arrays
from edgekd.students.fast_hamer.hand.arrays import arrays_of, model_of
from edgekd.students.fast_hamer.hand.model import JOINTS, PARENTS, TIPS, VERTICES, HandModel
from edgekd.toolchains.cache import root

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
    kept = root() / "mano" / f"{sha256(path)}.npz"
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
    content = unpickled(path)
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

    given: tuple[Any, ...] = ()
    state: Any = None

    def __init__(self, *given: Any) -> None:
        self.given = given

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def array(self) -> NDArray[Any]:
        """As numpy would have it. Any error where what is kept does not fit."""
        raise TypeError(f"a {type(self).__name__} is no array")


class Kind(Held):
    """`numpy.dtype`, of numbers."""

    def dtype(self) -> np.dtype[Any]:
        """Raises TypeError for other than plain numbers."""
        name, order = self.given[0], self.state[1]
        if not re.fullmatch(r"f[48]|[iu][1248]", str(name)) or order not in ("<", ">", "|", "="):
            raise TypeError(f"`{name}` is no kind of number")
        kind: np.dtype[Any] = np.dtype(order + name)
        return kind


class Array(Held):
    """`numpy.ndarray`: version, shape, kind, whether columns lie first, bytes."""

    def array(self) -> NDArray[Any]:
        """As it was."""
        _, shape, kind, columns, raw = self.state
        raw = raw if isinstance(raw, bytes) else raw.encode("latin1")
        return np.frombuffer(raw, kind.dtype()).reshape(shape, order="F" if columns else "C")


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


class Text(Held):
    """`_codecs.encode`: how Python 3 writes bytes for Python 2."""

    def encode(self, encoding: str) -> bytes:
        """Latin 1 is all there is."""
        text, used = self.given
        if used != encoding:
            raise ValueError(f"bytes in `{used}`")
        return bytes(text.encode(encoding))


_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
ALLOWED: dict[tuple[str, str], type[Held]] = {
    **{(module, "_reconstruct"): Array for module in _MULTIARRAY},
    ("numpy", "ndarray"): Held,
    ("numpy", "dtype"): Kind,
    ("__builtin__", "set"): Held,
    ("builtins", "set"): Held,
    ("_codecs", "encode"): Text,
    ("chumpy.ch", "Ch"): Ch,
    ("chumpy.reordering", "Select"): Select,
    **{(f"scipy.sparse.{module}", "csc_matrix"): Columns for module in ("csc", "_csc")},
}
"""What a file may name, and what stands for it."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[Held]:
        try:
            return ALLOWED[module, name]
        except KeyError:
            message = f"the file asks for `{module}.{name}` to be run, which no MANO file does"
            raise RequestError(message, f"do not trust it; {HINT}") from None


def unpickled(path: Path) -> Any:
    """What a pickle holds, with a `Held` for each thing it asks for. Raises RequestError."""
    try:
        with path.open("rb") as file:
            return _Unpickler(file, encoding="latin1").load()
    except EdgekdError:
        raise
    except Exception as error:  # broken pickles fail in any way there is
        raise RequestError(f"`{path}` is no MANO file: it cannot be read as a pickle: {error}", HINT) from None


def array_of(value: Any) -> NDArray[Any]:
    """An array of what was kept, or of plain numbers. Any error where it is none."""
    return value.array() if isinstance(value, Held) else np.asarray(value)
