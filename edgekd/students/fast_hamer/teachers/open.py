"""Which teacher of hands a source names, what of its files counts, and opening it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from edgekd.errors import RequestError
from edgekd.students.fast_hamer.config import DataConfig, TeacherConfig
from edgekd.students.fast_hamer.hand.load import SHIPPED
from edgekd.students.fast_hamer.teachers.base import HandTeacher
from edgekd.students.sources import Kind, digests_of, found
from edgekd.toolchains.cache import locate

Opener = Callable[[Path, TeacherConfig, DataConfig], HandTeacher]


def open_teacher(config: TeacherConfig, data: DataConfig) -> HandTeacher:
    """The teacher of a recipe's `teacher` table for its hand model. Raises MissingError or RequestError."""
    kind, path = found(config.source, KINDS)
    return kind.open(path, config, data)


def digests(config: TeacherConfig) -> dict[str, str]:
    """SHA-256 of each file that the answers depend on, by name. Raises MissingError or RequestError."""
    return digests_of(config.source, KINDS)


def check(config: TeacherConfig, data: DataConfig) -> None:
    """Raises RequestError for a source that is none, or whose answers cannot be what is asked of them."""
    name = config.source.partition(":")[0]
    if name not in KINDS:
        found(config.source, KINDS)
    if name.startswith(MEDIAPIPE) and config.features > 0:
        raise RequestError(
            f"the teacher `{name}` has no map to learn from", "set `teacher.features` to 0, in every arm"
        )
    if name == HAMER and data.hand == SHIPPED:
        raise RequestError("HaMeR answers in terms of MANO's hand", "name your `MANO_RIGHT.pkl` in `data.hand`")


def _mediapipe(path: Path, config: TeacherConfig, data: DataConfig) -> HandTeacher:
    from edgekd.students.fast_hamer.teachers.mediapipe import MediaPipeHands

    return MediaPipeHands(path)


def _hamer(path: Path, config: TeacherConfig, data: DataConfig) -> HandTeacher:
    from edgekd.students.fast_hamer.hand.load import load_hand
    from edgekd.students.fast_hamer.teachers.hamer import HamerTeacher
    from edgekd.students.fast_hamer.upstream import load_hamer

    return HamerTeacher(load_hamer(path), load_hand(data.hand))


MEDIAPIPE, HAMER = "mediapipe", "hamer"
LITERT = {"ai-edge-litert": "pip install 'edgekd[litert]'"}
TRANSFORMERS = {"transformers": "pip install 'edgekd[hamer]'"}
DEMO = "the authors' `hamer_demo_data.tar.gz` holds it, `hamer.ckpt`; their page names its terms"
KINDS: Mapping[str, Kind[Opener]] = {
    MEDIAPIPE: Kind(
        _mediapipe, find=lambda _: locate("mediapipe-hands") / "hand_landmark_full.tflite", packages=LITERT
    ),
    f"{MEDIAPIPE}-lite": Kind(
        _mediapipe, find=lambda _: locate("mediapipe-hands") / "hand_landmark_lite.tflite", packages=LITERT
    ),
    HAMER: Kind(_hamer, "FILE", DEMO, packages=TRANSFORMERS),
}
"""Every kind of source that is not of the run itself."""
