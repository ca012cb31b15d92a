"""FreiHAND (Zimmermann et al. 2019): right hands, one a picture. Data for research alone, which you bring. numpy.

`training/rgb/%08d.jpg`, which are its hands once or in four versions one after the other; `training_K.json`,
`training_xyz.json` and `training_mano.json`; the same of `evaluation`, with `evaluation_verts.json`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import MissingError, RequestError
from edgekd.graph.images import read_picture
from edgekd.graph.resize import Picture
from edgekd.students.fast_hamer.config import DataConfig
from edgekd.students.fast_hamer.data.base import Hand, Hands
from edgekd.students.fast_hamer.data.mano import box_of, seen, sure
from edgekd.students.fast_hamer.data.tables import read_table
from edgekd.students.fast_hamer.hand.model import SHAPES, VERTICES

MANO = 61
"""Numbers of `*_mano.json`: 48 of pose, 10 of shape, then where the root lies."""


def load_freihand(folder: Path, config: DataConfig) -> Hands:
    """Its own split. Landmarks of all, vertices where `*_verts.json` lies there, the shape where `*_mano.json` does.

    Rotations are not read: its poses count from MANO's mean pose, and that is part of MANO's file. Raises
    MissingError or RequestError.
    """
    training, shots = _part(folder, "training", 0)
    test, more = _part(folder, "evaluation", len(shots))
    files = shots + more

    def picture(i: int) -> Picture:
        return read_picture(files[i])

    return Hands(training, test, picture)


def _part(folder: Path, part: str, first: int) -> tuple[tuple[Hand, ...], list[Path]]:
    """Hands of a part, whose pictures are numbered from `first` on, and those pictures."""
    xyz = read_table(folder / f"{part}_xyz.json", 21, 3)
    cameras = read_table(folder / f"{part}_K.json", 3, 3, count=len(xyz))
    files = sorted((folder / part / "rgb").glob("*.jpg"))
    if not files:
        raise MissingError(f"`{folder / part / 'rgb'}` holds no picture", "`data.source` names FreiHAND's own folder")
    if len(files) % len(xyz):
        message = f"`{folder / part / 'rgb'}` holds {len(files)} pictures of {len(xyz)} hands"
        raise RequestError(message, "fetch it again: each hand has one picture, or four")
    verts = _optional(folder / f"{part}_verts.json", len(xyz), VERTICES, 3)
    mano = _optional(folder / f"{part}_mano.json", len(xyz), MANO)
    hands = []
    for i, file in enumerate(files):
        row = i % len(xyz)
        pixels = seen(xyz[row], cameras[row])
        hands.append(
            Hand(
                f"{part}-{file.stem}", first + i, *box_of(pixels), True, sure(pixels), sure(xyz[row]),
                None if verts is None else verts[row], None, None if mano is None else mano[row, 48 : 48 + SHAPES],
            )
        )  # fmt: skip
    return tuple(hands), files


def _optional(path: Path, count: int, *shape: int) -> NDArray[np.float32] | None:
    return read_table(path, *shape, count=count) if path.is_file() else None
