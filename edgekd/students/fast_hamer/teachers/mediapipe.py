"""MediaPipe's hand landmarks (Zhang et al. 2020, arXiv 2006.10214), by `edgekd fetch mediapipe-hands`; joints alone.

A crop is seen twice, as MediaPipe itself follows a hand: what the first look finds says how the hand lies, and the
second sees it upright in a square of its own (`hand_landmark_landmarks_to_roi.pbtxt` and the calculators it names).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import atan2, cos, pi, sin
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import MissingError, RequestError
from edgekd.graph.resize import Picture
from edgekd.resources import sha256
from edgekd.students.fast_hamer.crop import Crop, cut
from edgekd.students.fast_hamer.data.base import Float
from edgekd.students.fast_hamer.teachers.base import Answer, moved
from edgekd.toolchains.lock import Files, find_lock

LOCK = "mediapipe-hands"
SIDE = 224
"""Of what the network sees, in pixels."""
PLACES, PRESENT, WORLD = "Identity", "Identity_1", "Identity_3"
"""Outputs: landmarks in pixels and relative depth, whether a hand is there, landmarks in metres around its middle."""
WRIST, INDEX, MIDDLE, RING = 0, 5, 9, 13
"""Landmarks that say which way is up: the wrist, and the bases of three fingers."""
BOXED = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)
"""Landmarks that say where the hand is: all but the outer halves of fingers, which move."""
LARGER, HIGHER = 2.0, 0.1
"""The square's side over that of these landmarks' box, and how far up it is moved, a share of the box's height."""


class MediaPipeHands:
    """Answers of `hand_landmark_full.tflite` or `_lite.tflite`, in one thread.

    Raises MissingError where the file or LiteRT is not here, RequestError where it is not the locked file.
    """

    def __init__(self, path: Path, looks: int = 2) -> None:
        self.looks = looks
        check(path)
        try:
            from edgekd.runners import tfl
        except ImportError:
            raise MissingError(
                "running `.tflite` files needs `ai-edge-litert`", "pip install 'edgekd[litert]'"
            ) from None
        self.session = tfl.Session(path)

    def __call__(self, picture: Picture, crops: Sequence[Crop]) -> list[Answer]:
        """An answer for each crop of a picture (H, W, 3)."""
        return [self._ask(picture, crop) for crop in crops]

    def _ask(self, picture: Picture, crop: Crop) -> Answer:
        seen, answer = crop, self.look(picture, crop)
        for _ in range(self.looks - 1):
            seen = upright(moved(answer, seen, crop).pixels, crop)
            answer = self.look(picture, seen)
        return moved(answer, seen, crop)

    def look(self, picture: Picture, crop: Crop) -> Answer:
        """What one pass says of a crop."""
        pixels = cut(picture, crop, SIDE)[None].astype(np.float32) / 255
        said = self.session.run({"input_1": pixels})
        places = (said[PLACES].reshape(21, 3)[:, :2] / SIDE - 0.5).astype(np.float32)
        return Answer(said[WORLD].reshape(21, 3), places, float(np.clip(said[PRESENT].item(), 0, 1)))


def check(path: Path) -> None:
    """Raises MissingError or RequestError unless the file is the locked one of its name."""
    if not path.is_file():
        raise MissingError(f"the teacher's `{path}` does not exist", f"edgekd fetch {LOCK}")
    locked = cast("Files", find_lock(LOCK)).members.get(path.name)
    if locked is None or sha256(path) != locked.sha256:
        raise RequestError(
            f"`{path}` is not the locked file of MediaPipe", f"delete `{path.parent}`, then: edgekd fetch {LOCK}"
        )


def upright(places: Float, crop: Crop) -> Crop:
    """The square in which a hand with these landmarks (21, 2), in sides of the crop, is upright and whole."""
    x, y = (places[INDEX] + places[RING]) / 4 + places[MIDDLE] / 2 - places[WRIST]
    angle = pi / 2 - atan2(-y, x)
    axes = np.array([[cos(angle), -sin(angle)], [sin(angle), cos(angle)]])
    box = places[list(BOXED)] @ axes
    low, high = box.min(0), box.max(0)
    middle = axes @ ((low + high) / 2 - (0, HIGHER * (high - low)[1]))
    return inside(crop, middle, LARGER * float((high - low).max()), -angle)


def inside(crop: Crop, middle: NDArray[np.floating], side: float, angle: float) -> Crop:
    """The crop of a crop: its middle and side in sides of that one, its content turned by radians from x towards y."""
    turn = np.array([[cos(angle), -sin(angle), 0], [sin(angle), cos(angle), 0], [0, 0, 1]])
    matrix = crop.matrix.copy()
    matrix[:, 2] -= middle
    return Crop(turn[:2, :2] @ matrix / side, turn @ crop.turning, crop.mirrored, crop.size * side)
