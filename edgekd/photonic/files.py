"""Angles from files, clicks and features into them."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import MissingError, RequestError
from edgekd.photonic.circuit import Floats
from edgekd.store import write_atomic

ENDINGS = (".npy", ".json")


def read_angles(file: Path) -> Floats:
    """One setting (angles,), in radians. Raises RequestError for what is none, MissingError where there is no file."""
    _known(file)
    try:
        found = json.loads(file.read_bytes()) if file.suffix == ".json" else np.load(file, allow_pickle=False)
        if np.iscomplexobj(found):
            raise TypeError
        angles = np.asarray(found, np.float64)
    except FileNotFoundError:
        raise MissingError(f"`{file}` does not exist", "a file of angles, or `--random SEED`") from None
    except (ValueError, TypeError, EOFError, OverflowError, RecursionError, BadZipFile):
        raise RequestError(f"`{file}` holds no numbers", "a list of angles in radians") from None
    if angles.ndim != 1:
        raise RequestError(f"`{file}` holds {list(angles.shape)} numbers", "a list of angles, one setting")
    return angles


def write_array(file: Path, array: NDArray[Any], plain: Any) -> None:
    """`array` as `.npy`, or `plain` as `.json`, by the file's ending. Raises RequestError for another."""
    _known(file)
    data = BytesIO()
    if file.suffix == ".json":
        data.write(json.dumps(plain).encode())
    else:
        np.save(data, array, allow_pickle=False)
    write_atomic(file, data.getvalue())


def _known(file: Path) -> None:
    if file.suffix not in ENDINGS:
        raise RequestError(f"`{file}` is neither `.npy` nor `.json`", "one of these endings")
