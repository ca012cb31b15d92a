"""HO-3D, versions 2 and 3 (Hampali et al. 2020): right hands with things in them. Data for research alone, which you
bring. numpy.

`train.txt` and `evaluation.txt` list `SEQUENCE/FRAME`; of each there are `PART/SEQUENCE/rgb/FRAME.png` or `.jpg` and
`PART/SEQUENCE/meta/FRAME.pkl`. The truth of the evaluation is `evaluation_xyz.json` and `evaluation_verts.json`, which
are published apart. Its camera looks along -z with y up, its joints are in MANO's order with the tips behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import MissingError, RequestError
from edgekd.graph.images import read_picture
from edgekd.graph.resize import Picture
from edgekd.students.fast_hamer.config import DataConfig
from edgekd.students.fast_hamer.data.base import Hand, Hands
from edgekd.students.fast_hamer.data.mano import MARGIN, POSE, box_of, rotations_of, seen, sure
from edgekd.students.fast_hamer.data.tables import read_table
from edgekd.students.fast_hamer.hand.model import LANDMARKS, SHAPES, VERTICES
from edgekd.students.fast_hamer.unpickle import unpickled

AXES = np.array([1, -1, -1], np.float32)
"""From OpenGL's axes to ours: half a turn about x."""
Meta = dict[str, Any]


def load_ho3d(folder: Path, config: DataConfig) -> Hands:
    """Its own split: landmarks, rotations and shape of what trains, landmarks and vertices of what tests.

    Labels are read at once, pictures when they are asked for. Frames without a hand are left out. Raises MissingError
    or RequestError.
    """
    files: list[Path] = []
    training = tuple(_training(folder, files))
    test = tuple(_evaluation(folder, files))

    def picture(i: int) -> Picture:
        return read_picture(files[i])

    return Hands(training, test, picture)


def _training(folder: Path, files: list[Path]) -> Iterator[Hand]:
    for name, picture, meta in _frames(folder, "train"):
        if meta["handJoints3D"] is None:
            continue
        camera = _numbers(meta, "camMat", name, 3, 3)
        joints = _numbers(meta, "handJoints3D", name, 21, 3)[list(LANDMARKS)] * AXES
        rotations = rotations_of(_numbers(meta, "handPose", name, POSE))
        rotations[0] = np.diag(AXES) @ rotations[0]
        pixels = seen(joints, camera)
        files.append(picture)
        yield Hand(
            f"train-{name.replace('/', '-')}", len(files) - 1, *box_of(pixels), True, sure(pixels), sure(joints),
            None, rotations, _numbers(meta, "handBeta", name, SHAPES),
        )  # fmt: skip


def _evaluation(folder: Path, files: list[Path]) -> Iterator[Hand]:
    """Its boxes are the set's own, around the hand and with HaMeR's margin."""
    frames = list(_frames(folder, "evaluation"))
    xyz = read_table(folder / "evaluation_xyz.json", 21, 3, count=len(frames))
    verts = folder / "evaluation_verts.json"
    mesh = read_table(verts, VERTICES, 3, count=len(frames)) if verts.is_file() else None
    for i, (name, picture, meta) in enumerate(frames):
        left, top, right, bottom = map(float, _numbers(meta, "handBoundingBox", name, 4))
        joints = xyz[i][list(LANDMARKS)] * AXES
        files.append(picture)
        yield Hand(
            f"evaluation-{name.replace('/', '-')}", len(files) - 1, ((left + right) / 2, (top + bottom) / 2),
            MARGIN * max(right - left, bottom - top), True, sure(seen(joints, _numbers(meta, "camMat", name, 3, 3))),
            sure(joints), None if mesh is None else mesh[i] * AXES,
        )  # fmt: skip


def _frames(folder: Path, part: str) -> Iterator[tuple[str, Path, Meta]]:
    """Name, picture and labels of each frame that the part's list names."""
    listed = folder / f"{part}.txt"
    if not listed.is_file():
        raise MissingError(f"`{listed}` does not exist", "`data.source` names HO-3D's own folder")
    for name in listed.read_text().split():
        sequence, _, frame = name.partition("/")
        if not frame or {"..", "", "."} & set(name.split("/")):
            raise RequestError(f"`{listed}` lists `{name}`, no frame of a sequence", "fetch it again")
        shots = [folder / part / sequence / "rgb" / f"{frame}.{suffix}" for suffix in ("png", "jpg")]
        found = next((shot for shot in shots if shot.is_file()), None)
        if found is None:
            raise MissingError(f"`{shots[0]}` does not exist, nor as `.jpg`", "fetch the sequence again")
        yield name, found, _meta(folder / part / sequence / "meta" / f"{frame}.pkl")


def _meta(path: Path) -> Meta:
    try:
        found = unpickled(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise MissingError(f"`{path}` does not exist", "fetch the sequence again") from None
    if not isinstance(found, dict) or "handJoints3D" not in found:
        raise RequestError(f"`{path}` tells of no hand", "fetch the sequence again")
    return found


def _numbers(meta: Meta, key: str, name: str, *shape: int) -> NDArray[np.float32]:
    try:
        return np.asarray(meta[key], np.float32).reshape(shape)
    except (KeyError, TypeError, ValueError):
        message = f"the labels of `{name}` have no `{key}` of shape {list(shape)}"
        raise RequestError(message, "fetch the sequence again") from None
