"""HaMeR's training sets: `.tar` files with `NAME.jpg` and `NAME.data.pyd` for each picture. numpy and Pillow.

As `hamer/datasets/image_dataset.py` of geopavlakos/hamer reads them; its filters are those of the authors' training.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekd.errors import RequestError
from edgekd.graph.images import as_array, decoding
from edgekd.graph.resize import Picture
from edgekd.students.fast_hamer.config import DataConfig
from edgekd.students.fast_hamer.data.base import Hand, Hands
from edgekd.students.fast_hamer.data.mano import POSE, rotations_of
from edgekd.students.fast_hamer.data.npz import blocks
from edgekd.students.fast_hamer.hand.model import SHAPES
from edgekd.students.fast_hamer.unpickle import unpickled

UNIT = 200
"""Pixels of a `scale` of one."""
ASPECT = 4 / 3
"""Height over width to which a box is widened before its longer side is cropped: what HaMeR's backbone sees."""
LEAST_SURE, LEAST_KNOWN, MOST_SHAPE = 0.3, 4, 3.0
"""HaMeR's filters: landmarks less sure are unknown; hands with so many known or fewer are left out; coefficients
beyond are not believed."""
PICTURES, LABELS = ("jpg", "jpeg", "png"), "data.pyd"


@dataclass(frozen=True)
class _Place:
    """Where a picture lies in a tar."""

    tar: Path
    key: str
    """Its name without a suffix."""
    name: str
    start: int
    length: int


def load_tars(folder: Path, config: DataConfig) -> Hands:
    """The hands of a folder's `.tar` files, or of one; a file holds one or more hands a picture, left or right.

    Labels are read at once, pictures when they are asked for. The sets have no test of their own: pictures are split
    as `blocks` does. Raises MissingError or RequestError.
    """
    tars = sorted(folder.glob("*.tar")) if folder.is_dir() else [folder]
    places: list[_Place] = []
    found: list[list[Hand]] = []
    for tar in tars:
        for place, labels in _pairs(tar):
            hands = [hand for k, one in enumerate(labels) if (hand := _hand(one, place, len(places), k))]
            if hands:
                places.append(place)
                found.append(hands)

    def picture(i: int) -> Picture:
        return _read(places[i])

    training, test = blocks(len(found), config.train, config.split)
    parts = [tuple(hand for i in part for hand in found[i]) for part in (training, test)]
    return Hands(parts[0], parts[1], picture)


def _pairs(tar: Path) -> Iterator[tuple[_Place, list[Any]]]:
    """Each picture of a tar and what is known of its hands."""
    places: dict[str, _Place] = {}
    labels: dict[str, list[Any]] = {}
    try:
        with tarfile.open(tar, "r:") as file:
            for member in file:
                suffix = member.name.rpartition("/")[2].partition(".")[2]
                key = member.name[: len(member.name) - len(suffix) - 1]
                if member.isfile() and suffix.lower() in PICTURES:
                    places[key] = _Place(tar, key, member.name, member.offset_data, member.size)
                elif member.isfile() and suffix == LABELS:
                    data = file.extractfile(member)
                    labels[key] = _list(data.read() if data else b"", f"{tar.name}/{member.name}")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise RequestError(f"`{tar}` is damaged: {error}", "fetch it again") from None
    if odd := sorted(set(places) ^ set(labels)):
        lacking = "picture" if odd[0] in labels else f"`{LABELS}`"
        raise RequestError(f"`{odd[0]}` of `{tar}` has no {lacking}", "fetch that file again")
    if not places:
        raise RequestError(f"`{tar}` holds no pairs of `NAME.jpg` and `NAME.{LABELS}`", "name HaMeR's training sets")
    return ((places[key], labels[key]) for key in places)


def _list(data: bytes, name: str) -> list[Any]:
    found = unpickled(data, name)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise RequestError(f"`{name}` is no list of hands", "name HaMeR's training sets")
    return found


def _hand(labels: dict[str, Any], place: _Place, picture: int, number: int) -> Hand | None:
    """A hand by its labels; None where too little of it is known."""
    name = f"{place.tar.name}/{place.name}"

    def array(key: str, *shape: int) -> NDArray[np.float32]:
        try:
            return np.array(labels[key], np.float32).reshape(shape)
        except (KeyError, TypeError, ValueError):
            raise RequestError(f"`{name}` has no `{key}` of shape {list(shape)}", "fetch that file again") from None

    pixels, joints = array("keypoints_2d", 21, 3), array("keypoints_3d", 21, 4)
    pixels[pixels[:, 2] < LEAST_SURE, 2] = 0
    sides = UNIT * array("scale", 2)
    if (pixels[:, 2] > 0).sum() <= LEAST_KNOWN or not sides.min() >= 1:
        return None
    shape = array("betas", SHAPES)
    believed = float(array("has_betas")) > 0 and bool((abs(shape) <= MOST_SHAPE).all())
    posed = float(array("has_hand_pose")) > 0
    middle = array("center", 2)
    return Hand(
        f"{place.tar.stem}-{place.key.replace('/', '-')}-{number}", picture,
        (float(middle[0]), float(middle[1])), float(max(sides[1], ASPECT * sides[0])), float(array("right")) > 0.5,
        pixels, joints, None, rotations_of(array("hand_pose", POSE)) if posed else None, shape if believed else None,
    )  # fmt: skip


def _read(place: _Place) -> Picture:
    """A picture out of its tar, as it is stored: HaMeR's labels count in it without the turn its camera noted."""
    try:
        with place.tar.open("rb") as file:
            file.seek(place.start)
            data = file.read(place.length)
    except OSError as error:
        raise RequestError(f"`{place.tar}` cannot be read: {error.strerror}", "is it still there?") from None
    with decoding(place.tar / place.name), Image.open(io.BytesIO(data)) as image:
        return as_array(image)
