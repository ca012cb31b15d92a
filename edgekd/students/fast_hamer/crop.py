"""Crops of hands: the picture and all that is known of the hand move together. numpy and Pillow.

Places in a picture count from its upper left corner, so that the middle of its first pixel is (0.5, 0.5); places in a
crop are shares of its side from its middle on, -0.5 to 0.5. Left hands are mirrored: a crop always shows a right one.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, cos, radians, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekd.graph.resize import Picture
from edgekd.students.fast_hamer.config import DataConfig
from edgekd.students.fast_hamer.data.base import Float, Hand
from edgekd.students.fast_hamer.hand.model import JOINTS, SHAPES, VERTICES

Matrix = NDArray[np.float64]
TURNED = 0.6
"""How often training crops are turned; HaMeR's ROT_AUG_RATE."""


@dataclass(frozen=True)
class View:
    """How a crop differs from the plain one of its hand's box."""

    scale: float = 1.0
    """Of the box: above one the hand is smaller."""
    turn: float = 0.0
    """Degrees by which the crop's content is turned, from x towards y, so clockwise."""
    shift: tuple[float, float] = (0.0, 0.0)
    """Of the box's centre, in shares of its side."""
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Of red, green and blue."""


PLAIN = View()


def drawn(config: DataConfig, rng: np.random.Generator) -> View:
    """A view to train on, as HaMeR draws it: scale and shift by N(0, 1) cut at 1, the turn by N(0, 1) cut at 2, six
    times of ten, gains uniform."""
    scale, *shift = np.clip(rng.standard_normal(3), -1, 1).tolist()
    turn, turned = float(np.clip(rng.standard_normal(), -2, 2)), rng.random() < TURNED
    red, green, blue = rng.uniform(1 - config.colour, 1 + config.colour, 3).tolist()
    return View(
        1 + config.scale * scale, config.turn * turn * turned,
        (config.shift * shift[0], config.shift * shift[1]), (red, green, blue),
    )  # fmt: skip


@dataclass(frozen=True)
class Crop:
    """Where a crop lies in its picture."""

    matrix: Matrix
    """(2, 3): places in the picture to places in the crop."""
    turning: Matrix
    """(3, 3): what happens to directions in the camera's axes: the turn about its axis, after the mirror."""
    mirrored: bool
    size: float
    """Its side, in pixels of the picture."""

    def places(self, pixels: NDArray[np.floating]) -> Float:
        """Places in the picture (..., 2) as places in the crop."""
        return (pixels @ self.matrix[:, :2].T + self.matrix[:, 2]).astype(np.float32)

    def pixels(self, places: NDArray[np.floating]) -> Float:
        """The inverse of `places`."""
        return ((places - self.matrix[:, 2]) @ np.linalg.inv(self.matrix[:, :2]).T).astype(np.float32)

    def upright(self, points: NDArray[np.floating]) -> Float:
        """Points (..., 3) of the crop's right hand as they lie in the picture's camera: the inverse of the turn and
        the mirror."""
        return (points @ self.turning).astype(np.float32)


def crop_of(hand: Hand, view: View = PLAIN) -> Crop:
    """The crop of a hand's box, seen so; a left hand's is mirrored, then turned."""
    angle, size = radians(view.turn), hand.size * view.scale
    turn = np.array([[cos(angle), -sin(angle), 0], [sin(angle), cos(angle), 0], [0, 0, 1]])
    turning = turn @ np.diag([1.0 if hand.right else -1.0, 1, 1])
    centre = np.add(hand.centre, np.multiply(view.shift, hand.size))
    linear = turning[:2, :2] / size
    return Crop(np.column_stack([linear, -linear @ centre]), turning, not hand.right, size)


def cut(picture: Picture, crop: Crop, side: int) -> Picture:
    """A crop (side, side, 3) of a picture (H, W, 3), bilinear, black beyond the picture.

    Where it shrinks, what it covers is shrunk first by Pillow's own filter, which averages over as many pixels as one
    of the crop covers. Ours: HaMeR blurs the whole picture, and its two data sets disagree by how much; edgekd's
    other crops, and what a device does with a box, are Pillow's. Of a crop that is not turned it is that alone.
    """
    to_picture = np.linalg.inv(np.vstack([crop.matrix, [0, 0, 1]]))
    to_picture = to_picture @ np.array([[1 / side, 0, -0.5], [0, 1 / side, -0.5], [0, 0, 1]])
    image = Image.fromarray(picture)
    if crop.size > side:
        image, shrunk = _shrunk(image, to_picture, side, crop.size / side)
        to_picture = shrunk @ to_picture
    coefficients = to_picture[:2].ravel().tolist()
    return np.asarray(image.transform((side, side), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR))


def _shrunk(image: Image.Image, to_picture: Matrix, side: int, times: float) -> tuple[Image.Image, Matrix]:
    """The square of a picture that holds a crop, `times` smaller; and places in the picture as places in it."""
    corners = to_picture[:2] @ np.array([[0, side, 0, side], [0, 0, side, side], [1, 1, 1, 1]])
    count = ceil(round(float(np.ptp(corners, 1).max()) / times, 6))
    wide = count * times
    low = corners.mean(1) - wide / 2
    left, top = np.floor(low).astype(int)
    right, bottom = np.ceil(low + wide).astype(int)
    padded = image.crop((left, top, right, bottom))
    x, y = float(low[0] - left), float(low[1] - top)
    box = x, y, min(x + wide, padded.width), min(y + wide, padded.height)
    small = padded.resize((count, count), Image.Resampling.BILINEAR, box=box)
    return small, np.array([[1 / times, 0, -low[0] / times], [0, 1 / times, -low[1] / times], [0, 0, 1]])


def coloured(picture: Picture, view: View) -> Picture:
    """A crop (H, W, 3) with the view's gains."""
    bright: Picture = np.rint(np.clip(picture * np.array(view.gain, np.float32), 0, 255)).astype(np.uint8)
    return bright


def labels_in(crop: Crop, hand: Hand, vertices: int = VERTICES) -> dict[str, Float]:
    """What is known of a hand, as the crop shows it: of a right hand, and from its wrist on.

    `joints` (21, 3) and `vertices` (V, 3) in metres, `pixels` (21, 2) in sides of the crop, `rotations` (16, 3, 3),
    `shape` (10,); and how far each is trusted, 0 to 1: `has_joints` and `has_pixels` (21,), the others (). What is not
    known is zero and trusted with 0; without the wrist no landmark in space is known. The picture's perspective stays
    that of the whole picture, as in HaMeR.
    """
    joints, trust = _landmarks(hand.joints, 3)
    rooted = trust[0] > 0
    points, found = _landmarks(hand.pixels, 2)
    mesh = hand.vertices - joints[0] if rooted and hand.vertices is not None else None
    known = {
        "joints": ((joints - joints[0]) @ crop.turning.T * (trust > 0)[:, None], trust * rooted),
        "pixels": (crop.places(points) * (found > 0)[:, None], found),
        "vertices": _whole(None if mesh is None else mesh @ crop.turning.T, (vertices, 3)),
        "rotations": _whole(None if hand.rotations is None else turned(crop, hand.rotations), (JOINTS, 3, 3)),
        "shape": _whole(hand.shape, (SHAPES,)),
    }
    return {
        key: np.asarray(array, np.float32)
        for name, (value, sure) in known.items() for key, array in ((name, value), (f"has_{name}", sure))
    }  # fmt: skip


def turned(crop: Crop, rotations: NDArray[np.floating]) -> Float:
    """Rotations (16, 3, 3) of a hand in its picture as those of the right hand in its crop: mirrored each, and the
    hand as a whole turned about the camera's axis."""
    mirror = np.array([-1.0 if crop.mirrored else 1.0, 1, 1])
    moved = rotations * np.outer(mirror, mirror)
    moved[0] = crop.turning * mirror @ moved[0]
    return moved.astype(np.float32)


def _landmarks(points: Float | None, axes: int) -> tuple[Float, Float]:
    """Landmarks (21, axes) and how sure they are (21,); zero where they are not known."""
    if points is None:
        return np.zeros((21, axes), np.float32), np.zeros(21, np.float32)
    trust = points[:, axes]
    return np.where(trust[:, None] > 0, points[:, :axes], 0), trust


def _whole(value: NDArray[np.floating] | None, shape: tuple[int, ...]) -> tuple[NDArray[np.floating], float]:
    """An array and 1, or zeros and 0."""
    return (np.zeros(shape), 0.0) if value is None else (value, 1.0)
