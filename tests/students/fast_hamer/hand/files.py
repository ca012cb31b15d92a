"""Files as Python 2 wrote MANO's, of arrays that are not MANO's."""

from __future__ import annotations

import pickle
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from edgekd.students.fast_hamer.hand.model import JOINTS, PARENTS, VERTICES


class Python2(pickle._Pickler):  # type: ignore[name-defined, misc]
    """Bytes become a `str` of Python 2."""

    def save_string(self, data: bytes) -> None:
        self.write(b"T" + struct.pack("<i", len(data)) + data)

    dispatch = {**pickle._Pickler.dispatch, bytes: save_string}  # type: ignore[attr-defined]


@contextmanager
def libraries() -> Iterator[dict[str, type]]:
    """Classes by the names of chumpy's and scipy's, as far as pickle looks."""
    made, before = {}, dict(sys.modules)
    for module, name in (("chumpy.ch", "Ch"), ("chumpy.reordering", "Select"), ("scipy.sparse.csc", "csc_matrix")):
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            sys.modules[".".join(parts[:end])] = ModuleType(".".join(parts[:end]))
        made[name] = type(name, (), {"__module__": module})
        setattr(sys.modules[module], name, made[name])
    try:
        yield made
    finally:
        for module in set(sys.modules) - set(before):
            del sys.modules[module]
        sys.modules.update(before)


def held(kind: type, **state: Any) -> Any:
    thing = kind()
    thing.__dict__.update(state)
    return thing


def content(kinds: dict[str, type], seed: int = 0) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What is in such a file, and the same as plain arrays."""
    rng = np.random.default_rng(seed)
    weights = rng.random((VERTICES, JOINTS))
    regressor = np.where(rng.random((JOINTS, VERTICES)) < 0.02, rng.random((JOINTS, VERTICES)), 0)
    regressor[:, 3] += 0.1
    plain = {
        "v_template": rng.normal(0, 0.05, (VERTICES, 3)),
        "shapedirs": rng.normal(0, 0.005, (VERTICES, 3, 10)),
        "posedirs": np.asfortranarray(rng.normal(0, 0.001, (VERTICES, 3, 135))),
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights / weights.sum(1, keepdims=True),
        "f": rng.integers(0, VERTICES, (1538, 3)).astype(np.uint32),
        "kintree_table": np.array([[2**32 - 1, *PARENTS[1:]], range(JOINTS)], np.uint32).astype(np.int64),
    }
    columns = plain["J_regressor"].T
    rows = [np.flatnonzero(column) for column in columns]
    sparse = {
        "_shape": (JOINTS, VERTICES),
        "data": np.concatenate([column[row] for column, row in zip(columns, rows, strict=True)]),
        "indices": np.concatenate(rows).astype(np.int32),
        "indptr": np.cumsum([0, *map(len, rows)]).astype(np.int32),
        "maxprint": 50,
    }
    order = rng.permutation(VERTICES * 30)
    shuffled = np.empty(VERTICES * 30)
    shuffled[order] = plain["shapedirs"].ravel()
    chosen = held(kinds["Select"], a=held(kinds["Ch"], x=shuffled, dirty_vars={"x"}), idxs=order)
    chosen.preferred_shape = (VERTICES, 3, 10)
    stored = {**plain, "J_regressor": held(kinds["csc_matrix"], **sparse), "shapedirs": chosen, "bs_style": "lbs"}
    return stored, plain


def write(path: Path, changes: dict[str, Any] | None = None) -> dict[str, np.ndarray]:
    """A whole file, or one with changes; None leaves a field out."""
    with libraries() as kinds, path.open("wb") as file:
        stored, plain = content(kinds)
        merged = {**stored, **(changes or {})}
        Python2(file, protocol=2).dump({name: value for name, value in merged.items() if value is not None})
    old = path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    path.write_bytes(old)
    return plain
