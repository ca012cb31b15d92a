"""A right hand of our own making, with arrays of MANO's shapes. numpy.

The skin is one surface: a tube of rings from the wrist to the webs, from which four fingers and the thumb branch,
each a tube of rings. Fingers point along y, the palm looks along z, the thumb is on the side of x. Lengths are round
ones of an adult; nothing is measured on anybody, and nothing comes from MANO.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgekd.students.fast_hamer.hand.model import JOINTS, SHAPES, HandModel
from edgekd.students.fast_hamer.render import normals_of

Values = NDArray[np.float64]
RINGS, AROUND, COLUMNS = 12, 8, 8
"""Rings of the palm, of 16 vertices each: eight columns on the back, eight on the palm; vertices of a finger's ring."""


@dataclass(frozen=True)
class Finger:
    """Where a finger begins, where it points, how long its bones are, how thick it is; metres."""

    joint: int
    """The first of its three."""
    base: tuple[float, float, float]
    points: tuple[float, float, float]
    bones: tuple[float, float, float]
    thick: tuple[float, float]
    """Its radius at the base and at the tip."""
    rings: int
    begins: float
    """How far behind the first joint the first ring lies: a finger's at its web."""

    @property
    def direction(self) -> Values:
        """Of length one."""
        along: Values = np.array(self.points) / np.linalg.norm(self.points)
        return along

    @property
    def length(self) -> float:
        """Of all bones."""
        return sum(self.bones)

    @property
    def side(self) -> Values:
        """Across the finger: of fingers towards the thumb's side."""
        across: Values = np.cross(self.direction, self.flexes)
        return across

    @property
    def flexes(self) -> Values:
        """Where the finger bends to: for fingers the palm's side, for the thumb across the palm."""
        towards = np.array([-0.5, 0.15, 0.85]) if self.joint == 13 else np.array([0.0, 0, 1])
        towards = towards - (towards @ self.direction) * self.direction
        unit: Values = towards / np.linalg.norm(towards)
        return unit

    def joints(self) -> Values:
        """(3, 3)."""
        along = np.cumsum([0, *self.bones[:2]])
        places: Values = np.array(self.base) + along[:, None] * self.direction
        return places


THUMB = Finger(13, (0.022, 0.022, 0.006), (0.66, 0.72, 0.20), (0.043, 0.033, 0.028), (0.0155, 0.0092), 14, 0.010)
INDEX = Finger(1, (0.025, 0.088, 0.0), (0.09, 1, 0), (0.043, 0.026, 0.023), (0.0098, 0.0076), 14, 0.021)
MIDDLE = Finger(4, (0.003, 0.091, 0.0), (0.0, 1, 0), (0.047, 0.030, 0.024), (0.0100, 0.0078), 15, 0.022)
RING = Finger(10, (-0.017, 0.086, 0.0), (-0.08, 1, 0), (0.043, 0.028, 0.024), (0.0094, 0.0073), 15, 0.021)
LITTLE = Finger(7, (-0.034, 0.076, 0.0), (-0.17, 1, 0), (0.034, 0.021, 0.020), (0.0083, 0.0065), 14, 0.019)
FINGERS = (INDEX, MIDDLE, RING, LITTLE)
"""From the thumb's side on; each takes two columns of the palm's last ring."""
ALL = (THUMB, *FINGERS)
LIES = (0, 0.08, 0.22, 0.36, 0.50, 0.59, 0.67, 0.75, 0.82, 0.885, 0.945, 1)
"""Where the palm's rings lie, in shares of its length; the thumb branches where they are far apart."""
THUMB_RINGS = slice(1, 5)
"""Rings of the palm between which the thumb branches."""


@dataclass
class _Mesh:
    """What grows: vertices, faces, and of each vertex which finger it is of (0 for the palm) and how far along."""

    vertices: list[Values]
    faces: list[tuple[int, int, int]]
    finger: list[int]
    along: list[float]

    def add(self, points: Values, finger: int, along: float) -> list[int]:
        first = len(self.vertices)
        self.vertices += list(points)
        self.finger += [finger] * len(points)
        self.along += [along] * len(points)
        return list(range(first, first + len(points)))

    def band(self, low: list[int], high: list[int]) -> None:
        """Triangles between two loops that turn alike, of as many vertices or of half as many below."""
        n, each = len(low), len(high) // len(low)
        for i in range(n):
            a, b = low[i], low[(i + 1) % n]
            c = [high[(i * each + k) % len(high)] for k in range(each + 1)]
            self.faces += [(a, c[k + 1], c[k]) for k in range(each)] + [(a, b, c[-1])]


@lru_cache(1)
def synthetic_hand() -> HandModel:
    """The model; the same arrays each time."""
    mesh = _grown()
    template, finger, along = _smooth(mesh), np.array(mesh.finger), np.array(mesh.along)
    joints = np.zeros((JOINTS, 3))
    for each in ALL:
        joints[each.joint : each.joint + 3] = each.joints()
    weights = _weights(template, finger, along)
    arrays = {
        "template": template, "shapedirs": _shapes(mesh, template, finger), "weights": weights,
        "posedirs": _bulges(mesh, template, finger, along), "regressor": np.stack([_mean(template, j) for j in joints]),
    }  # fmt: skip
    tips = [int(np.flatnonzero(finger == i + 1)[-1]) for i in range(5)]
    return HandModel("edgekd's synthetic hand", "Apache-2.0", faces=np.array(mesh.faces, np.int32), tips=tuple(tips),  # type: ignore[arg-type]
                     **{name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()})  # fmt: skip


def _grown() -> _Mesh:
    """The whole surface."""
    mesh = _Mesh([], [], [], [])
    rings = [mesh.add(points, 0, 0.0) for points in _palm()]
    back = [ring[:COLUMNS] for ring in rings]
    front = [ring[COLUMNS:][::-1] for ring in rings]  # column by column as the back
    for i in range(RINGS - 1):
        for k in range(2 * COLUMNS):
            if k == 2 * COLUMNS - 1 and THUMB_RINGS.start <= i < THUMB_RINGS.stop - 1:
                continue  # the thumb's place, between first columns of front and back
            a, b = rings[i][k], rings[i][(k + 1) % (2 * COLUMNS)]
            c, d = rings[i + 1][k], rings[i + 1][(k + 1) % (2 * COLUMNS)]
            mesh.faces += [(a, b, d), (a, d, c)]
    for i, finger in enumerate(FINGERS):
        first, second = 2 * i, 2 * i + 1
        loop = [back[-1][first], back[-1][second], front[-1][second], front[-1][first]]
        _grow(mesh, finger, i + 2, loop)
        if i < len(FINGERS) - 1:  # the web to the next
            a, b, c, d = back[-1][second], back[-1][second + 1], front[-1][second + 1], front[-1][second]
            mesh.faces += [(a, b, c), (a, c, d)]
    span = range(THUMB_RINGS.start, THUMB_RINGS.stop)
    _grow(mesh, THUMB, 1, [*(back[i][0] for i in span), *(front[i][0] for i in reversed(span))])
    return mesh


def _palm() -> list[Values]:
    """Rings (16, 3): the back from the thumb's side on, then the palm's side back again."""
    ends = np.array([_edge(finger, sign) for finger in FINGERS for sign in (1, -1)])  # the last ring's columns
    across = np.linspace(1, -1, COLUMNS)
    wrist = np.column_stack([0.029 * across, np.zeros(COLUMNS)])
    out = []
    for t in LIES:
        middle = (1 - t) * wrist + t * ends
        wide = 1 + 0.10 * np.sin(np.pi * t) * np.abs(across)
        x, y = middle[:, 0] * wide, middle[:, 1]
        round_ = np.sqrt(1 - (0.80 * across) ** 2)
        thick = np.interp(t, [0, 0.25, 0.6, 0.85, 1], [0.019, 0.0165, 0.0145, 0.0125, 0.0088])
        round_ = np.ones(COLUMNS) if t == 1 else round_
        thenar = 0.009 * np.exp(-(((t - 0.35) / 0.22) ** 2)) * np.exp(-(((across - 0.65) / 0.45) ** 2))
        heel = 0.005 * np.exp(-(((t - 0.35) / 0.3) ** 2)) * np.exp(-(((across + 0.65) / 0.45) ** 2))
        back = np.column_stack([x, y, -thick * round_])
        front = np.column_stack([x, y, thick * round_ + thenar + heel])
        out.append(np.concatenate([back, front[::-1]]))
    return out


def _edge(finger: Finger, sign: int) -> Values:
    """Where a finger's side leaves its web, in the palm's plane."""
    middle = np.array(finger.base) + finger.begins * finger.direction
    return (middle + sign * 0.93 * finger.thick[0] * finger.side)[:2]


def _grow(mesh: _Mesh, finger: Finger, number: int, loop: list[int]) -> None:
    """A tube from a loop of the palm to the tip: rings that begin on the back, and a cap of two vertices."""
    thumb, tip = finger is THUMB, finger.thick[1]
    turns = np.pi * (1 / 8 if thumb else 1 / 4) + np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    below = loop
    for s in np.linspace(finger.begins + 0.006, finger.length - 0.3 * tip, finger.rings):
        radius = np.interp(s / finger.length, [0, 1], finger.thick)
        radius *= 1 + 0.05 * sum(np.exp(-(((s - at) / 0.006) ** 2)) for at in np.cumsum(finger.bones[:2]))
        radius *= np.sqrt(1 - max(0.0, 1 - (finger.length - s) / (1.3 * tip)) ** 2)
        ring = np.cos(turns)[:, None] * finger.side - 0.93 * np.sin(turns)[:, None] * finger.flexes
        above = mesh.add(np.array(finger.base) + s * finger.direction + radius * ring, number, float(s))
        mesh.band(below, above)
        below = above
    end = np.array(finger.base) + finger.length * finger.direction
    half = (
        np.cos(turns[2]) * finger.side - 0.93 * np.sin(turns[2]) * finger.flexes
    )  # the middle of the cap's first half
    one, other = mesh.add(end + 0.25 * tip * np.stack([half, -half]), number, finger.length)
    mesh.faces += [(below[i], below[(i + 1) % AROUND], one if i < AROUND // 2 else other) for i in range(AROUND)]
    mesh.faces += [(below[AROUND // 2], other, one), (below[0], one, other)]


def _smooth(mesh: _Mesh) -> Values:
    """The vertices, with those where fingers branch drawn to the middle of their neighbours; the open end stays."""
    points, faces = np.array(mesh.vertices), np.array(mesh.faces)
    near = np.zeros((len(points), len(points)))
    near[faces, np.roll(faces, 1, 1)] = near[np.roll(faces, 1, 1), faces] = 1
    near /= near.sum(1, keepdims=True)
    for finger in ALL:
        web = np.array(finger.base) + finger.begins * finger.direction
        reach, steps = (0.024, (0.8,) * 4) if finger is THUMB else (0.012, (0.7, -0.6) * 4)
        for step in steps:  # a finger's there and almost back, so that it does not grow thin (Taubin 1995)
            amount = np.exp(-((np.linalg.norm(points - web, axis=1) / reach) ** 2))
            amount[: 2 * COLUMNS] = 0
            points = points + step * amount[:, None] * (near @ points - points)
    return points


def _step(x: Values, at: float, width: float) -> Values:
    """0 to 1, smooth, half at `at`."""
    t = np.clip((x - at) / width + 0.5, 0, 1)
    stepped: Values = t * t * (3 - 2 * t)
    return stepped


def _beyond(finger: Finger, points: Values) -> Values:
    """How far points lie along a finger from its first joint."""
    along: Values = (points - np.array(finger.base)) @ finger.direction
    return along


def _off(finger: Finger, points: Values) -> Values:
    """How far points lie from a finger's first bone."""
    along = np.clip(_beyond(finger, points), 0, finger.bones[0])
    nearest = np.array(finger.base) + along[:, None] * finger.direction
    apart: Values = np.linalg.norm(points - nearest, axis=1)
    return apart


def _owner(points: Values, finger: NDArray[np.int64]) -> NDArray[np.int64]:
    """The finger whose columns a vertex of the palm is in, 2 to 5; others are of their own."""
    column = np.arange(2 * COLUMNS)
    column = np.minimum(column, 2 * COLUMNS - 1 - column) // 2 + 2
    out = finger.copy()
    out[finger == 0] = np.tile(column, RINGS)
    return out


def _weights(points: Values, finger: NDArray[np.int64], along: Values) -> Values:
    """(V, 16): fingers follow their bones, blended at the joints; the palm the wrist, and what is next to it."""
    out, owner = np.zeros((len(points), JOINTS)), _owner(points, finger)
    for i, each in enumerate(ALL, 1):
        mine, palm = finger == i, finger == 0
        s = np.where(mine, along, 0)
        first, second, third = (_step(s, at, 0.014) for at in (0.0, *np.cumsum(each.bones[:2])))
        first = np.ones(len(points)) if i > 1 else _step(s, 0.006, 0.03)
        for k, part in enumerate((first - second, second - third, third)):
            out[mine, each.joint + k] = part[mine]
        near = (
            _step(_beyond(each, points), 0.004, 0.03) if i > 1 else 0.75 * np.exp(-((_off(each, points) / 0.016) ** 2))
        )
        near = np.where(palm & ((owner == i) | (i == 1)), near, 0)
        out[:, each.joint] += near * (1 - out.sum(1)) * palm
    out[:, 0] += 1 - out.sum(1)
    return out


def _mean(points: Values, joint: Values, count: int = 32) -> Values:
    """The flattest weights of the nearest vertices, with a sum of one, whose mean of them is the joint."""
    near = np.argsort(np.linalg.norm(points - joint, axis=1))[:count]
    system = np.vstack([points[near].T, np.ones(count)])
    row = np.zeros(len(points))
    even = np.full(count, 1 / count)
    row[near] = even + np.linalg.pinv(system) @ (np.append(joint, 1) - system @ even)
    return row


def _shapes(mesh: _Mesh, points: Values, finger: NDArray[np.int64]) -> Values:
    """(V, 3, 10): size; length of all fingers; thickness of fingers and palm; width; depth; how far the palm widens
    towards the fingers; lengths of thumb, index, ring and little finger. Each without what those before it do, so that
    all are at right angles; a coefficient of one is about one deviation among adults, by eye."""
    owner, reach = _owner(points, finger), np.zeros((len(ALL), *points.shape))
    for i, each in enumerate(ALL, 1):
        along = np.clip(_beyond(each, points), 0, None) * ((owner == i) if i > 1 else (finger == 1))
        reach[i - 1] = along[:, None] * each.direction
    normals = normals_of(points, np.array(mesh.faces, np.int32))
    widens = np.clip(points[:, 1:2] / 0.09, 0, 1) - 0.5
    fields = [
        0.05 * points, 0.05 * reach.sum(0), 0.0010 * normals, 0.05 * points * [1, 0, 0], 0.06 * points * [0, 0, 1],
        0.06 * widens * points * [1, 0, 0], *(0.06 * reach[[0, 1, 3, 4]]),
    ]  # fmt: skip
    across, sizes = np.linalg.qr(np.stack(fields, 2).reshape(-1, SHAPES))
    apart: Values = (across * np.diag(sizes)).reshape(*points.shape, SHAPES)
    return apart


def _bulges(mesh: _Mesh, points: Values, finger: NDArray[np.int64], along: Values) -> Values:
    """(V, 3, 135): the back of a joint rises when it bends, so that it does not grow thin; ours, by eye."""
    normals, out = normals_of(points, np.array(mesh.faces, np.int32)), np.zeros((*points.shape, 9 * (JOINTS - 1)))
    for i, each in enumerate(ALL, 1):
        back = np.clip(-normals @ each.flexes, 0, None)
        bend = np.outer(each.flexes, each.direction).ravel()  # (R - I) d, along what it bends to: the sine of the bend
        for k, at in enumerate((0.0, *np.cumsum(each.bones[:2]))):
            s = np.where(finger == i, along, _beyond(each, points))
            near = np.exp(-(((s - at) / 0.007) ** 2)) * (_owner(points, finger) == i)
            columns = slice(9 * (each.joint + k - 1), 9 * (each.joint + k))
            out[:, :, columns] += 0.0018 * (near * back)[:, None, None] * normals[:, :, None] * bend
    return out
