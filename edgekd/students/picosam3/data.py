"""Pictures with instances, each a prompt: where they come from, and which train. numpy and Pillow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from edgekd.errors import MissingError, RequestError
from edgekd.graph.images import decoding, find_data, picture_files, read_picture
from edgekd.graph.masks import Mask
from edgekd.graph.resize import Picture
from edgekd.graph.roi import Box
from edgekd.schema.base import Strict
from edgekd.students.arrays import read_arrays

kept_few = lru_cache(256)
"""Keeps the last so many pictures in memory."""
LABELS = ".mask.png"
"""How the file ends that holds a picture's instances, one number each, 0 for none."""


class DataConfig(Strict):
    """The recipe's `data` table."""

    source: str = Field(
        "edgekd:cells",
        description="A folder of pictures `NAME.png` with instances in `NAME.mask.png`; an `.npz` file of one of the "
        "known forms; or a COCO `.json` file, then `images` names the folder of its pictures.",
    )
    images: str = Field("", description="Folder of the pictures of a COCO file.")
    side: int = Field(96, ge=16, multiple_of=16, description="Side of a training crop, in pixels.")
    least: int = Field(16, ge=1, description="Least longer side of an instance's box, in pixels of its picture.")
    train: float = Field(0.8, gt=0, lt=1, description="Share of the pictures that trains; the rest tests.")
    split: int = Field(0, ge=0, description="Seed of that split.")
    tests: int = Field(100, ge=1, description="At most so many test instances, taken evenly.")
    labelled: float = Field(
        1.0, ge=0, le=1, description="Share of the training pictures whose masks are used; without a teacher above 0."
    )
    expose: bool = Field(
        False,
        description="Stretch each picture to the whole range of its pixels, as a camera's exposure would. `edgekd run` "
        "and devices see pictures as they are.",
    )
    jitter: float = Field(0.1, ge=0, le=1, description="Box noise in training: how far boxes move and grow.")
    aspect: float = Field(0.1, ge=0, lt=1, description="How far a training region's sides are stretched or squeezed.")
    flip: bool = Field(True, description="Mirror training crops both ways.")
    noise: float = Field(0.0, ge=0, le=1, description="Box noise in the test, seeded; the masks are cropped alike.")


@dataclass(frozen=True)
class Instance:
    """One object of a picture."""

    id: str
    picture: int
    number: int
    """Which of the picture's objects, as its source counts them."""
    box: Box


@dataclass(frozen=True)
class Instances:
    """Pictures and what is known of them; `picture` and `mask` read them when they are asked for."""

    names: tuple[str, ...]
    """Of the pictures."""
    found: tuple[Instance, ...]
    picture: Callable[[int], Picture]
    """Number of a picture to (H, W, 3) uint8."""
    mask: Callable[[Instance], Mask]
    """(H, W) bool."""


def load(config: DataConfig) -> Instances:
    """The instances of a source that are large enough. Raises MissingError or RequestError."""
    path = find_data(config.source)
    if path.suffix == ".json":
        from edgekd.students.picosam3.coco import load_coco

        whole = load_coco(path, config.images)
    else:
        whole = load_arrays(path) if path.suffix == ".npz" else load_folder(config.source)
    kept = tuple(i for i in whole.found if max(i.box[2:]) >= config.least)
    if not kept:
        message = f"`{config.source}` holds no instance with a side of {config.least} pixels or more"
        raise RequestError(message, "lower `data.least`, or name another source")
    shown = kept_few(lambda i: exposed(whole.picture(i))) if config.expose else whole.picture
    return Instances(whole.names, kept, shown, whole.mask)


def exposed(picture: Picture) -> Picture:
    """A picture whose darkest and brightest thousandth of values are 0 and 255, all channels alike."""
    low, high = np.percentile(picture, (0.1, 99.9))
    stretched = (picture - low) * (255 / max(1.0, high - low))
    shown: Picture = np.rint(np.clip(stretched, 0, 255)).astype(np.uint8)
    return shown


def split(config: DataConfig, data: Instances) -> tuple[list[Instance], list[Instance]]:
    """Instances to train on, and to test on; no picture is in both."""
    pictures = sorted({instance.picture for instance in data.found})
    order = np.random.default_rng([config.split, 0]).permutation(len(pictures))
    count = min(max(1, round(config.train * len(pictures))), len(pictures) - 1)
    training = {pictures[i] for i in order[:count]}
    if not training:
        raise RequestError("one picture cannot be split into training and test", "name a source with more pictures")
    parts = [[i for i in data.found if (i.picture in training) == wanted] for wanted in (True, False)]
    return parts[0], parts[1]


def labelled(config: DataConfig, training: list[Instance]) -> set[int]:
    """Training pictures whose masks are used; a smaller share is part of a larger one."""
    pictures = sorted({instance.picture for instance in training})
    order = np.random.default_rng([config.split, 1]).permutation(len(pictures))
    return {pictures[i] for i in order[: ceil(config.labelled * len(pictures))]}


def boxes(labels: NDArray[np.integer]) -> Iterator[tuple[int, Box]]:
    """Numbers in a label map (H, W) above zero, and the tight box of each."""
    rows, columns = np.nonzero(labels > 0)
    numbers = labels[rows, columns]
    for number in np.unique(numbers):
        y, x = rows[numbers == number], columns[numbers == number]
        yield int(number), (float(x.min()), float(y.min()), float(np.ptp(x) + 1), float(np.ptp(y) + 1))


def from_labels(
    names: tuple[str, ...], picture: Callable[[int], Picture], labels: Callable[[int], NDArray[np.integer]]
) -> Instances:
    """Instances of pictures whose label maps number them."""
    found = tuple(
        Instance(f"{name}-{number}", i, number, box)
        for i, name in enumerate(names) for number, box in boxes(labels(i))
    )  # fmt: skip
    return Instances(names, found, picture, lambda instance: labels(instance.picture) == instance.number)


def load_folder(name: str) -> Instances:
    """A folder of `NAME.png` and `NAME.mask.png`. Raises MissingError or RequestError."""
    files = [path for path in picture_files(name) if not path.name.endswith(LABELS)]
    if not files:
        raise MissingError(f"`{name}` holds no picture", "name a folder of `NAME.png` and `NAME.mask.png`")

    @kept_few
    def picture(i: int) -> Picture:
        return read_picture(files[i])

    @kept_few
    def labels(i: int) -> NDArray[np.integer]:
        path = files[i].with_name(files[i].stem + LABELS)
        found = read_labels(path)
        if found.shape != picture(i).shape[:2]:
            raise RequestError(f"`{path.name}` is not of its picture's size", "make both alike")
        return found

    return from_labels(tuple(path.stem for path in files), picture, labels)


def read_labels(path: Path) -> NDArray[np.integer]:
    """A label map's file, (H, W) whole numbers, as they are stored. Raises MissingError or RequestError."""
    with decoding(path), Image.open(path) as image:
        found = np.asarray(image)
    if found.ndim != 2 or found.dtype.kind not in "iu":
        raise RequestError(f"`{path}` is no label map", "store one whole number a pixel, as a grey PNG of 8 or 16 bits")
    return found


def load_arrays(path: Path) -> Instances:
    """An `.npz` file with `x` (N, H, W, 3) uint8 and either `label` (N, H, W), or for every instance `mask_packbits`
    (its mask's bits in rows), `box` (left, top, width, height) and `img` (which picture).

    Raises MissingError or RequestError.
    """
    arrays = read_arrays(path)
    x = arrays.get("x")
    if x is None or x.ndim != 4 or x.shape[3] != 3 or x.dtype != np.uint8:
        raise RequestError(f"`{path.name}` has no `x` of pictures (N, H, W, 3) uint8", "store colour pictures")
    names = tuple(f"{path.stem}-{i}" for i in range(len(x)))
    if (labels := arrays.get("label")) is not None:
        if labels.shape != x.shape[:3] or labels.dtype.kind not in "iu":
            raise RequestError(f"`label` of `{path.name}` does not fit its pictures", "store (N, H, W) whole numbers")
        return from_labels(names, x.__getitem__, labels.__getitem__)
    return _packed(path, names, x, arrays)


def _packed(path: Path, names: tuple[str, ...], x: Picture, arrays: dict[str, NDArray[Any]]) -> Instances:
    if missing := [name for name in ("mask_packbits", "img") if name not in arrays]:
        raise RequestError(f"`{path.name}` has neither `label` nor `{missing[0]}`", "store one of the two forms")
    bits, where, (height, width) = arrays["mask_packbits"], arrays["img"], x.shape[1:3]
    if bits.dtype != np.uint8 or bits.ndim != 2 or bits.shape[1] != -(-height * width // 8):
        raise RequestError(f"`mask_packbits` of `{path.name}` does not fit its pictures", "pack one mask a row")
    if where.dtype.kind not in "iu" or where.shape != bits.shape[:1] or not np.all((where >= 0) & (where < len(x))):
        raise RequestError(f"`img` of `{path.name}` does not number a picture for each mask", "count them from 0")

    def mask(number: int) -> Mask:
        return np.unpackbits(bits[number])[: height * width].reshape(height, width).astype(bool)

    found = [
        Instance(f"{names[picture]}-{number}", int(picture), number, box)
        for number, picture in enumerate(where) for _, box in boxes(mask(number).astype(np.uint8))
    ]  # fmt: skip
    return Instances(names, tuple(found), x.__getitem__, lambda instance: mask(instance.number))
