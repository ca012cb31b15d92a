"""Pictures and their classes, from sheets, `.npz` files, or MNIST's own files. numpy only."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import MissingError, RequestError
from edgekd.graph.images import find_data, picture_files, read_picture

SIDE = 28
"""Side of a sprite, in pixels."""
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
"""Files of MNIST and its like, in the order of `ARRAYS`; each may be gzipped, `.gz`."""
Pair = tuple[NDArray[np.uint8], NDArray[np.int64]]
Loaded = tuple[tuple[str, ...], Pair, Pair]
"""Labels; pictures (N, H, W) or (N, H, W, 3) and classes (N,) to train on; the same to test on."""


def load(source: str, share: float, split: int) -> Loaded:
    """What a data source holds: an `.npz` file, a folder with the four idx files, or one of sheets, of which `share`
    trains. Raises MissingError or RequestError."""
    path = find_data(source)
    if path.suffix == ".npz":
        return load_arrays(source)
    if path.is_dir() and any(path.glob("*-ubyte*")):
        return checked(source, [read_idx(path, name) for name in IDX])
    return load_sheets(source, share, split)


def load_sheets(source: str, share: float, split: int) -> Loaded:
    """A folder of sheets, one a class, the file's stem its label; each class is split by the same seeded shares."""
    files = picture_files(source)
    parts: dict[bool, list[tuple[NDArray[np.uint8], int]]] = {True: [], False: []}
    for i, file in enumerate(files):
        tiles = cut(read_picture(file, "L"), file.name)
        order = np.random.default_rng([split, i]).permutation(len(tiles))
        first = round(share * len(tiles))
        parts[True] += [(tiles[j], i) for j in order[:first]]
        parts[False] += [(tiles[j], i) for j in order[first:]]
    train, test = ((np.stack([t for t, _ in part]), np.array([c for _, c in part])) for part in parts.values())
    return tuple(file.stem for file in files), train, test


def cut(sheet: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """The tiles of a sheet, row by row: (H, W) to (N, 28, 28). Raises RequestError when they do not fill it."""
    rows, columns = sheet.shape[0] // SIDE, sheet.shape[1] // SIDE
    if sheet.shape != (rows * SIDE, columns * SIDE) or rows * columns < 2:
        raise RequestError(f"sheet `{name}` is not made of tiles of {SIDE} x {SIDE} pixels", "pad or crop it")
    return sheet.reshape(rows, SIDE, columns, SIDE).swapaxes(1, 2).reshape(-1, SIDE, SIDE)


def load_arrays(source: str) -> Loaded:
    """An `.npz` file's arrays; the labels are its `classes`, or those that occur. Raises MissingError or
    RequestError."""
    try:
        with np.load(find_data(source), allow_pickle=False) as file:
            arrays, names = [file[name] for name in ARRAYS], file.get("classes")
    except FileNotFoundError:
        raise MissingError(f"data file `{source}` does not exist", "name an `.npz` file in `data.source`") from None
    except KeyError as error:
        raise RequestError(
            f"`{source}` has no array {error.args[0].split()[0]}", f"it needs {', '.join(ARRAYS)}"
        ) from None
    except (OSError, ValueError, EOFError, BadZipFile, zlib.error) as error:
        raise RequestError(f"`{source}` cannot be read: {error}", "replace that file") from None
    labels, train, test = checked(source, arrays)
    return _named(labels, names), train, test


def _named(labels: tuple[str, ...], names: NDArray[Any] | None) -> tuple[str, ...]:
    """The names of classes that are numbers, where there is one for each."""
    if names is None or names.shape != (len(labels),) or labels != tuple(map(str, range(len(labels)))):
        return labels
    return tuple(map(str, names))


def read_idx(folder: Path, name: str) -> NDArray[np.uint8]:
    """An idx file of bytes: two zeros, the type 8, the number of axes, their lengths as big-endian uint32, the bytes.

    The format is that of http://yann.lecun.com/exdb/mnist. Raises MissingError or RequestError.
    """
    plain, packed = folder / name, folder / f"{name}.gz"
    if not (plain.is_file() or packed.is_file()):
        raise MissingError(f"`{folder}` has no `{name}`", f"it needs {', '.join(IDX)}, as they are or with `.gz`")
    try:
        data = plain.read_bytes() if plain.is_file() else gzip.decompress(packed.read_bytes())
        axes = data[3]
        shape = np.frombuffer(data, ">u4", axes, 4)
        if data[:3] != b"\0\0\x08":
            raise ValueError("its head is another")
        return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise RequestError(f"`{folder / name}` is no idx file of bytes: {error}", "replace that file") from None


def checked(source: str, arrays: list[NDArray[Any]]) -> Loaded:
    """The four arrays, which fit each other; the labels are the classes that occur. Raises RequestError."""
    x_train, y_train, x_test, y_test = arrays
    for part, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        _check_pair(source, part, x, y)
    if x_test.shape[1:] != x_train.shape[1:]:
        raise RequestError(f"`x_test` of `{source}` has pictures of another size than `x_train`", "crop or pad them")
    found = np.unique(y_train)
    if unknown := sorted(set(np.unique(y_test).tolist()) - set(found.tolist())):
        raise RequestError(f"`y_test` of `{source}` has class {unknown[0]}, `y_train` has not", "train on every class")
    train, test = ((x, np.searchsorted(found, y)) for x, y in ((x_train, y_train), (x_test, y_test)))
    return tuple(map(str, found)), train, test


def _check_pair(source: str, part: str, x: NDArray[Any], y: NDArray[Any]) -> None:
    """Pictures (N, H, W) or (N, H, W, 3) uint8 and their classes (N,), whole numbers or words. Raises RequestError."""
    if (x.ndim != 3 and x.shape[3:] != (3,)) or x.dtype != np.uint8 or not x.size:
        message = f"`x_{part}` of `{source}` is not (N, H, W) uint8, nor (N, H, W, 3)"
        raise RequestError(message, "store grey or RGB pictures")
    if y.shape != x.shape[:1] or y.dtype.kind not in "iuU":
        message = f"`y_{part}` of `{source}` is {y.dtype} {list(y.shape)}, not {len(x)} classes"
        raise RequestError(message, "store a whole number or a word a picture")
