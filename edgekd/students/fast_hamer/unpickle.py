"""Pickles of others, read without running what they name. numpy.

A pickle is a program: it names functions and calls them. Here it gets numpy's arrays and nothing else: any other name
is refused before it is looked up.
"""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Mapping
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import RequestError

DAMAGED = (
    pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, KeyError, TypeError, ValueError,
    OverflowError, MemoryError, RecursionError,
)  # fmt: skip
"""What reading a damaged pickle raises."""
KINDS = re.compile(r"[biufcSU]\d{1,6}|O8?")


Names = Mapping[tuple[str, str], Any]
"""By module and name, what is used in the place of what a pickle names."""


def unpickled(data: bytes, name: str, more: Names = MappingProxyType({})) -> Any:
    """What a pickle of Python 2 or 3 holds: numbers, words, lists, dicts, arrays; and `more`.

    Raises RequestError, which calls it `name`, where it is damaged or names anything else.
    """
    try:
        return _Reader(data, name, {**ARRAYS, **more}).load()
    except DAMAGED as error:
        raise RequestError(f"`{name}` is damaged: {error}", "replace that file") from None


class _Reader(pickle.Unpickler):
    def __init__(self, data: bytes, name: str, known: Names) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")
        self.name, self.known = name, known

    def find_class(self, module: str, name: str) -> Any:
        """What is known under this name, and nothing else."""
        if (module, name) not in self.known:
            message = f"`{self.name}` names `{module}.{name}`, which data do not need and edgekd does not run"
            raise RequestError(message, "use the file as its makers publish it")
        return self.known[module, name]


class _Kind:
    """A dtype of numbers, words or objects; of its state only the order of bytes counts."""

    def __init__(self, name: str, *_: Any) -> None:
        if not isinstance(name, str) or not KINDS.fullmatch(name):
            raise ValueError(f"arrays of `{name}`")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """An array whose state is checked before numpy takes it."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, columns, data = state
        dtype = kind.dtype
        if isinstance(data, str):
            data = data.encode("latin1")
        expected = prod(shape) * (1 if dtype.hasobject else dtype.itemsize)
        if not isinstance(data, list if dtype.hasobject else bytes) or len(data) != expected:
            raise ValueError(f"an array of shape {list(shape)} has other data")
        super().__setstate__((1, shape, dtype, bool(columns), data))  # type: ignore[arg-type]


def _reconstruct(*_: Any) -> NDArray[Any]:
    return _Array((0,), np.uint8)


def _scalar(kind: _Kind, data: bytes | str) -> Any:
    if kind.dtype.hasobject:
        raise ValueError("a number that is an object")
    return np.frombuffer(data.encode("latin1") if isinstance(data, str) else data, kind.dtype, 1)[0]


def _from_buffer(data: bytes, kind: _Kind, shape: tuple[int, ...], order: str) -> NDArray[Any]:
    if kind.dtype.hasobject:
        raise ValueError("an array of objects in a buffer")
    return np.frombuffer(data, kind.dtype).reshape(shape, order="F" if order == "F" else "C")


def _encode(text: str, encoding: str = "latin1") -> bytes:
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """What Python 3 calls for bytes that are none, in the protocols of Python 2."""
    return b""


ARRAYS: Names = {
    **{
        (f"numpy.{core}.{module}", name): value
        for core in ("core", "_core")
        for module, name, value in (
            ("multiarray", "_reconstruct", _reconstruct), ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): _Kind,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
}  # fmt: skip
"""What every pickle may name; an `ndarray` is only named, never made."""
