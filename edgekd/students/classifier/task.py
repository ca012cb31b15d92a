"""Classification of small grey pictures: data, metric. numpy only, so it works without torch."""

from __future__ import annotations

import zlib
from functools import cached_property
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgekd.errors import MissingError, RequestError
from edgekd.graph.images import find_data, picture_files, read_picture
from edgekd.schema.base import Strict
from edgekd.schema.io import ClassesOutput, ImageInput, IoRecord
from edgekd.schema.load import parse
from edgekd.students.base import Sample
from edgekd.students.simple import SimpleTask

SIDE = 28
"""Side of a sprite, in pixels."""
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
Pair = tuple[NDArray[np.uint8], NDArray[np.int64]]


class ModelConfig(Strict):
    """The recipe's `model` table."""

    width: Literal[16, 24, 32] = Field(
        24, description="Channels of the first layer; twice and four times as many follow."
    )


class DataConfig(Strict):
    """The recipe's `data` table."""

    source: str = Field(
        "edgekd:sprites",
        description="A folder of sheets, one a class, of 28 x 28 tiles; or an `.npz` file with `x_train`, `y_train`, "
        "`x_test`, `y_test`.",
    )
    train: float = Field(2 / 3, gt=0, lt=1, description="Share of each class's sprites that trains; the rest tests.")
    split: int = Field(0, ge=0, description="Seed of that split. An `.npz` file has its own.")
    tests: int = Field(300, ge=1, description="At most so many test pictures, taken evenly.")
    shift: int = Field(2, ge=0, description="Largest random shift in training, in pixels.")
    flip: bool = Field(True, description="Mirror half of the training pictures; false for digits and letters.")


class ClassifyTask(SimpleTask):
    """Which class a grey picture shows."""

    metric, unit = "accuracy", "%"
    about = "grey pictures of known classes, split by sample with a fixed seed"

    def __init__(self, data: dict[str, Any], seed: int) -> None:
        super().__init__(data, seed)
        self.config = parse(DataConfig, data, "data")

    def folders(self) -> tuple[str, ...]:
        """The data source."""
        return (self.config.source,)

    @cached_property
    def loaded(self) -> tuple[tuple[str, ...], Pair, Pair]:
        """Labels; pictures (N, H, W) and classes (N,) to train on; the same to test on."""
        path = find_data(self.config.source)
        return load_arrays(self.config.source) if path.suffix == ".npz" else load_sheets(self.config)

    def io(self, shape: tuple[int, int]) -> IoRecord:
        """One grey input in [-1, 1], logits of the classes."""
        return IoRecord(
            inputs=(
                ImageInput(name="image", shape=(1, 1, *shape), color="L", mean=(0.5,), std=(0.5,), resize="stretch"),
            ),
            outputs=(ClassesOutput(name="logits", labels=self.loaded[0]),),
        )

    def evalset(self) -> list[Sample]:
        """The test pictures, evenly thinned to `data.tests`."""
        labels, _, (pictures, classes) = self.loaded
        picks = np.unique(np.linspace(0, len(classes) - 1, min(self.config.tests, len(classes))).round().astype(int))
        return [Sample(id=f"{labels[classes[i]]}-{i}", raw=pictures[i], truth=int(classes[i])) for i in picks]

    def score(self, prediction: NDArray[np.float32], truth: int) -> dict[str, float]:
        """100 where the likeliest class is the true one, else 0; the share given to the true class, in %."""
        right = int(np.argmax(prediction)) == truth
        return {"accuracy": 100.0 * right, "confidence": 100.0 * float(prediction[truth])}


def load_sheets(config: DataConfig) -> tuple[tuple[str, ...], Pair, Pair]:
    """A folder of sheets, one a class, the file's stem its label; each class is split by the same seeded shares."""
    files = picture_files(config.source)
    parts: dict[bool, list[tuple[NDArray[np.uint8], int]]] = {True: [], False: []}
    for i, file in enumerate(files):
        tiles = cut(read_picture(file, "L"), file.name)
        order = np.random.default_rng([config.split, i]).permutation(len(tiles))
        first = round(config.train * len(tiles))
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


def load_arrays(source: str) -> tuple[tuple[str, ...], Pair, Pair]:
    """An `.npz` file's arrays; the labels are the classes that occur. Raises MissingError or RequestError."""
    try:
        with np.load(find_data(source), allow_pickle=False) as file:
            x_train, y_train, x_test, y_test = (file[name] for name in ARRAYS)
    except FileNotFoundError:
        raise MissingError(f"data file `{source}` does not exist", "name an `.npz` file in `data.source`") from None
    except KeyError as error:
        raise RequestError(
            f"`{source}` has no array {error.args[0].split()[0]}", f"it needs {', '.join(ARRAYS)}"
        ) from None
    except (OSError, ValueError, EOFError, BadZipFile, zlib.error) as error:
        raise RequestError(f"`{source}` cannot be read: {error}", "replace that file") from None
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
    """Pictures (N, H, W) uint8 and their classes (N,), whole numbers or words. Raises RequestError."""
    if x.ndim != 3 or x.dtype != np.uint8 or not x.size:
        raise RequestError(f"`x_{part}` of `{source}` is not (N, H, W) uint8", "store grey pictures")
    if y.shape != x.shape[:1] or y.dtype.kind not in "iuU":
        message = f"`y_{part}` of `{source}` is {y.dtype} {list(y.shape)}, not {len(x)} classes"
        raise RequestError(message, "store a whole number or a word a picture")
