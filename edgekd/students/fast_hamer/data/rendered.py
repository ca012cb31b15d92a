"""Synthetic hands: the hand of our own making, posed at random, rendered before photographs that ship.

Each hand has a generator of its own, so that any of them is the same whatever was rendered before. Nothing here is a
picture of anybody's hand; how a net that was trained on them does on real ones is another question.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from edgekd.graph.images import picture_files, read_picture
from edgekd.graph.resize import Picture
from edgekd.students.fast_hamer.config import DataConfig
from edgekd.students.fast_hamer.data.base import Hand, Hands
from edgekd.students.fast_hamer.data.poses import rotations, shape
from edgekd.students.fast_hamer.hand.model import Float
from edgekd.students.fast_hamer.hand.skinning import skin
from edgekd.students.fast_hamer.hand.synthetic import synthetic_hand
from edgekd.students.fast_hamer.render import normals_of, rasterise, shaded

BEHIND = {"training": "edgekd:photos", "test": "edgekd:kodak"}
"""Photographs that hands are rendered before; those of the test train nothing."""
AROUND = 1.5
"""Side of a rendered picture, in sides of its hand's box: room to turn and shift a crop."""
BOX = 1.35
"""Side of a hand's box, in sides of the square that its landmarks fill."""
WRIST = 16
"""Vertices at the open end, the first ones, from which a forearm goes on."""
ARM = (0.05, 0.15, 0.28, 0.42, 0.58, 0.78, 1.0)
"""Where its rings lie, in shares of its length."""
AT_ONCE = 64
"""Hands that are skinned together, always so many: the last bit of a product depends on how large it is."""
Values = NDArray[np.floating[Any]]


def load_rendered(config: DataConfig) -> Hands:
    """`data.rendered` hands to train on and `data.tests` to test on, for `data.split`, `data.side` and `data.alone`.

    Pictures are rendered when they are asked for, then kept: 110 kB each where the side is 128.
    """
    return _load(config.side, config.rendered, config.tests, config.split, config.alone)


@lru_cache(2)
def _load(side: int, training: int, tests: int, split: int, alone: float) -> Hands:
    parts = {"training": training, "test": tests}
    made = {part: _hands(part, count, side, split, alone) for part, count in parts.items()}

    @lru_cache(None)
    def picture(number: int) -> Picture:
        part, i = ("training", number) if number < training else ("test", number - training)
        return rendered(made[part][i], _generator(split, part, i, 1), side, BEHIND[part])

    test = [Hand(**{**vars(hand), "picture": training + i}) for i, hand in enumerate(made["test"])]
    return Hands(tuple(made["training"]), tuple(test), picture)


def _generator(split: int, part: str, number: int, stream: int) -> np.random.Generator:
    return np.random.default_rng([split, int(part == "test"), number, stream])


def _hands(part: str, count: int, side: int, split: int, alone: float) -> list[Hand]:
    """Hands with all that is known of them; their pictures come later."""
    out: list[Hand] = []
    for start in range(0, count, AT_ONCE):
        rngs = [_generator(split, part, i, 0) for i in range(start, start + AT_ONCE)]
        turns = np.stack([rotations(rng, alone) for rng in rngs])
        shapes = np.stack([shape(rng) for rng in rngs])
        skinned = zip(*skin(synthetic_hand(), turns, shapes), turns, shapes, rngs, strict=True)
        out += [_hand(f"{part}-{start + k:05d}", start + k, side, *each) for k, each in enumerate(skinned)]
    return out[:count]


def _hand(
    name: str, number: int, side: int, vertices: Float, landmarks: Float, turns: Values, form: Values,
    rng: np.random.Generator,
) -> Hand:  # fmt: skip
    """Placed before a camera, from 0.35 to 1 m away, so that its box has the crop's side."""
    middle, far = landmarks.mean(0), np.array([0, 0, rng.uniform(0.35, 1.0)])
    placed, mesh = (points - middle + far for points in (landmarks, vertices))
    flat = placed[:, :2] / placed[:, 2:]
    low, high = flat.min(0), flat.max(0)
    focal = side / (BOX * float((high - low).max()))
    size = ceil(AROUND * side)
    centre = size / 2 + rng.uniform(-0.05, 0.05, 2) * side
    pixels = (flat - (low + high) / 2) * focal + centre
    sure = np.ones((len(landmarks), 1))
    arrays = [np.hstack([pixels, sure]), np.hstack([placed, sure]), mesh, turns, form]
    x, y = map(float, centre)
    return Hand(name, number, (x, y), float(side), True, *(a.astype(np.float32) for a in arrays))


def rendered(hand: Hand, rng: np.random.Generator, side: int, behind: str) -> Picture:
    """The picture of a hand, (1.5 side, 1.5 side, 3)."""
    if hand.joints is None or hand.pixels is None or hand.vertices is None or hand.rotations is None:
        raise ValueError("only a hand that is wholly known can be rendered")
    size = ceil(AROUND * side)
    model = synthetic_hand()
    vertices, faces = with_forearm(hand.vertices, model.faces, hand.rotations[0], rng)
    focal, shift = _camera(hand.pixels, hand.joints)
    places = np.column_stack([vertices[:, :2] / vertices[:, 2:] * focal + shift, vertices[:, 2]])
    light = rng.normal(size=3) * [1, 1, 0.5] - [0, 0.5, 1]
    lit = shaded(normals_of(vertices, faces), skin_colours(len(vertices), hand, rng), light, rng.uniform(0.15, 0.6))
    drawn = rasterise(places, faces, lit * rng.uniform(0.75, 1.2), (size, size), 2)
    ground = background(behind, size, rng)
    whole = drawn[..., :3] + (1 - drawn[..., 3:]) * ground
    image = Image.fromarray(np.rint(np.clip(whole, 0, 255)).astype(np.uint8))
    soft = np.asarray(image.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.2) * side / 128)), np.float32)
    noisy = soft + rng.uniform(0, 6) * rng.standard_normal(soft.shape, np.float32)
    return np.asarray(np.rint(np.clip(noisy, 0, 255)), np.uint8)


def _camera(pixels: Float, joints: Float) -> tuple[float, Values]:
    """Focal length and middle of the camera that sees these landmarks there."""
    flat = joints[:, :2] / joints[:, 2:3]
    focal = float(np.ptp(pixels[:, 0]) / np.ptp(flat[:, 0]))
    return focal, (pixels[:, :2] - flat * focal).mean(0)


def with_forearm(
    vertices: Float, faces: NDArray[np.int32], turn: Values, rng: np.random.Generator
) -> tuple[Values, NDArray[np.int32]]:
    """The mesh with an arm behind the open wrist, which bends there; only to be looked at."""
    ring = vertices[:WRIST].astype(np.float64)
    middle = ring.mean(0)
    away = turn @ np.array([rng.normal(0, 0.3), -1, rng.normal(0, 0.3)])
    away[2] = max(away[2], -0.2)  # not into the camera
    away /= np.linalg.norm(away)
    rings = [middle + (ring - middle) * (1 + 0.5 * t) + away * 0.20 * t for t in ARM]
    all_rings = [np.arange(WRIST), *(len(vertices) + WRIST * k + np.arange(WRIST) for k in range(len(rings)))]
    new = []
    for low, high in zip(all_rings[1:], all_rings[:-1], strict=True):  # as the palm's rings, upwards
        a, b, c, d = low, np.roll(low, -1), high, np.roll(high, -1)
        new += [np.column_stack([a, b, d]), np.column_stack([a, d, c])]
    return np.concatenate([vertices, *rings]), np.concatenate([faces, *new]).astype(np.int32)


def skin_colours(count: int, hand: Hand, rng: np.random.Generator) -> Values:
    """(count, 3), 0 to 255: one tone from dark to light, warmer and paler from place to place."""
    dark, light = np.array([88, 54, 40]), np.array([250, 200, 170])
    tone = dark + (light - dark) * rng.beta(1.6, 1.2) + rng.normal(0, 10) + rng.normal(0, 3, 3)
    template = synthetic_hand().template
    waves = np.sin(template @ rng.normal(0, 60, (3, 4)) + rng.uniform(0, 2 * np.pi, 4)) @ rng.normal(0, 0.03, (4, 1))
    factors = np.ones((count, 1))
    factors[: len(template)] += waves + 0.08 * _palm()
    colours: Values = tone * factors
    return colours


@lru_cache(1)
def _palm() -> Values:
    """(V, 1): how far vertices look where the palm looks."""
    return np.clip(normals_of(synthetic_hand().template, synthetic_hand().faces)[:, 2:], 0, 1)


@lru_cache(4)
def _photographs(behind: str) -> list[Picture]:
    return [read_picture(path) for path in picture_files(behind)]


def background(behind: str, size: int, rng: np.random.Generator) -> Values:
    """A square of a photograph at random, (size, size, 3), of random brightness; half of the times mirrored, half of
    the times with its colours exchanged, for few photographs ship."""
    photographs = _photographs(behind)
    picture = photographs[int(rng.integers(len(photographs)))]
    side = int(rng.integers(min(size, *picture.shape[:2]) // 2, min(picture.shape[:2]) + 1))
    y, x = (int(rng.integers(0, n - side + 1)) for n in picture.shape[:2])
    part = Image.fromarray(picture[y : y + side, x : x + side]).resize((size, size), Image.Resampling.BILINEAR)
    order = rng.permutation(3) if rng.random() < 0.5 else np.arange(3)
    seen = np.asarray(part, np.float32)[:, :: 1 if rng.random() < 0.5 else -1, order]
    return seen * rng.uniform(0.4, 1.3) * rng.uniform(0.8, 1.2, 3) + rng.uniform(-20, 20)
