"""What a teacher of hands is asked, how its answers are kept, and what they say of a training crop. numpy and Pillow.

A teacher is asked of every training hand, labelled or not, in one crop or several (`views`). An answer is one row of
float16: landmarks in space, which lose 0.06 mm at most, and in the crop, a thousandth of a pixel; of HaMeR also
rotations and shape, and where maps are compared its last map. Landmarks and rotations are moved to whatever crop is
drawn; a map is not, so with maps the training crops are the views themselves. All of this is ours.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from math import prod

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import RequestError
from edgekd.schema.base import digest
from edgekd.students.fast_hamer.config import DataConfig, TeacherConfig
from edgekd.students.fast_hamer.crop import PLAIN, Crop, View, coloured, crop_of, drawn
from edgekd.students.fast_hamer.data.base import Float, Hand, Hands
from edgekd.students.fast_hamer.hand.model import JOINTS, SHAPES
from edgekd.students.fast_hamer.hand.rotations import from_6d, to_6d
from edgekd.students.fast_hamer.teachers.base import Answer, HandTeacher, moved
from edgekd.students.fast_hamer.teachers.open import HAMER, check, digests, open_teacher
from edgekd.train.cache import Answers, Lesson

LANDMARKS = (("joints", (21, 3)), ("pixels", (21, 2)))
MESH = (("rotations", (JOINTS, 6)), ("shape", (SHAPES,)))
MAP = (1280, 16, 12)
"""Of HaMeR at its published sizes."""
SEEN = 0.75
"""Share of a crop's columns that this map shows, the middle ones."""
Parts = tuple[tuple[str, tuple[int, ...]], ...]


def parts_of(config: TeacherConfig) -> Parts:
    """What is kept of an answer, and its shapes, one behind the other."""
    whole = config.source.partition(":")[0] == HAMER
    return LANDMARKS + (MESH if whole else ()) + ((("map", MAP),) if config.features > 0 else ())


def pack(answer: Answer, parts: Parts) -> NDArray[np.float16]:
    """An answer as it is kept, landmarks from the wrist on. Raises RequestError where it is not what is asked."""
    said = {**vars(answer), "joints": answer.joints - answer.joints[:1]}
    if answer.rotations is not None:
        said["rotations"] = to_6d(answer.rotations)
    for name, shape in parts:
        if said[name] is None or said[name].shape != shape:
            raise RequestError(f"the teacher gives no `{name}` of {list(shape)}", "choose another `teacher.source`")
    with np.errstate(over="ignore"):
        row = np.concatenate([said[name].ravel() for name, _ in parts]).astype(np.float16)
    if not (np.isfinite(row).all() and np.isfinite(answer.score)):
        raise RequestError("the teacher answers what is not a number", "choose another `teacher.source`")
    return row


def unpack(row: NDArray[np.float16], score: float, parts: Parts) -> Answer:
    """The answer that a row keeps."""
    ends = np.cumsum([prod(shape) for _, shape in parts])[:-1]
    pieces = zip(parts, np.split(row.astype(np.float32), ends), strict=True)
    said: dict[str, Float] = {name: piece.reshape(shape) for (name, shape), piece in pieces}
    if "rotations" in said:
        said["rotations"] = from_6d(said["rotations"]).astype(np.float32)
    return Answer(score=score, **said)


def view_of(hand: Hand, number: int, data: DataConfig) -> View:
    """A hand's own crop, then others: drawn as training crops are, the same whatever a recipe's seed says."""
    return drawn(data, np.random.default_rng([zlib.crc32(hand.id.encode()), number])) if number else PLAIN


def lesson(config: TeacherConfig, hands: Hands, data: DataConfig) -> Lesson:
    """All that is asked of a teacher, a picture at a time. Raises RequestError where it cannot say what is asked."""
    check(config, data)
    ordered = sorted(hands.training, key=lambda hand: hand.picture)
    groups = tuple(tuple(group) for _, group in groupby(ordered, key=lambda hand: hand.picture))
    asker = _Asker(config, data, hands, groups)
    parts = parts_of(config)
    return Lesson(
        asked={
            "source": config.source.partition(":")[0],
            "views": config.views,
            "crops": [data.scale, data.turn, data.shift, data.colour] if config.views > 1 else [],
            "kept": [name for name, _ in parts],
            "questions": digest([[h.id, h.picture, *map(float, (*h.centre, h.size)), h.right] for h in ordered]),
        },
        groups=tuple(tuple(hand.id for hand in group) for group in groups),
        views=config.views,
        shape=(sum(prod(shape) for _, shape in parts),),
        dtype="float16",
        ask=asker.ask,
        files=lambda: digests(config),
        code=(__name__, "edgekd.students.fast_hamer.data.load"),
        packages=("torch", "transformers", "ai-edge-litert", "numpy", "pillow"),
    )  # fmt: skip


@dataclass(frozen=True)
class _Asker:
    """Opens the teacher when it is first asked."""

    config: TeacherConfig
    data: DataConfig
    hands: Hands
    groups: tuple[tuple[Hand, ...], ...]

    @cached_property
    def teacher(self) -> HandTeacher:
        return open_teacher(self.config, self.data)

    def ask(self, number: int) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
        """Rows (hands, views, numbers) and scores (hands, views)."""
        group, picture = self.groups[number], self.hands.picture(self.groups[number][0].picture)
        said = [self._view(picture, hand, view) for hand in group for view in range(self.config.views)]
        rows = np.stack([pack(answer, parts_of(self.config)) for answer in said])
        scores = np.clip(np.array([answer.score for answer in said], np.float32), 0, 1)
        shape = len(group), self.config.views
        return rows.reshape(*shape, -1), scores.reshape(shape)

    def _view(self, picture: NDArray[np.uint8], hand: Hand, number: int) -> Answer:
        view = view_of(hand, number, self.data)
        seen = picture if view is PLAIN else coloured(picture, view)
        return self.teacher(seen, [crop_of(hand, view)])[0]


@dataclass(frozen=True)
class Taught:
    """What a teacher's answers say of training crops."""

    config: TeacherConfig
    data: DataConfig
    answers: Answers

    def choose(self, hand: Hand, rng: np.random.Generator) -> tuple[int, View]:
        """One of the views that were asked, and a view to train on: with maps that one, else any."""
        number = int(rng.integers(self.config.views))
        return number, view_of(hand, number, self.data) if self.config.features > 0 else drawn(self.data, rng)

    def __call__(self, hand: Hand, number: int, crop: Crop) -> dict[str, Float | float]:
        """What the answer to a view says of a crop of the same hand: `score`, and by their names in `Answer` landmarks
        from the wrist on, rotations and shape where the teacher gives them, and where maps are compared the `map`,
        which is that of the view's own crop."""
        said = unpack(*self.answers.look(hand.id, number), parts_of(self.config))
        there = moved(said, crop_of(hand, view_of(hand, number, self.data)), crop)
        found = {**vars(there), "map": said.map}
        return {name: value for name, value in found.items() if value is not None}
