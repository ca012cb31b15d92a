"""What teachers of hands are asked, how answers are kept, and what they say of a crop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from edgekd.errors import RequestError
from edgekd.students.fast_hamer.config import DataConfig, TeacherConfig
from edgekd.students.fast_hamer.crop import PLAIN, crop_of, drawn, labels_in
from edgekd.students.fast_hamer.data.base import Hands
from edgekd.students.fast_hamer.lesson import MAP, Taught, lesson, pack, parts_of, unpack, view_of
from edgekd.students.fast_hamer.teachers import open as opening
from edgekd.students.fast_hamer.teachers.base import Answer
from edgekd.students.sources import Kind
from edgekd.train.cache import Answers, fill
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.students.fast_hamer.test_crop import hand

PLAIN_DATA = DataConfig(hand="MANO_RIGHT.pkl", shift=0.1)
LANDMARKS = parts_of(TeacherConfig(source="mediapipe"))
WHOLE = parts_of(TeacherConfig(source="hamer:x"))


def known(count=5):
    """Hands, two to a picture, left and right."""
    return [replace(hand(i % 3 > 0, i), id=f"hand-{i}", picture=i // 2, centre=(60.0 + i, 55.0)) for i in range(count)]


def hands():
    return Hands(tuple(known()), (), lambda number: np.full((120, 130, 3), 40 * number, np.uint8))


class Exact:
    """A teacher made up here, which knows its hands by the crops that it is asked about, and the picture's brightness
    for a map."""

    def __init__(self, data):
        self.asked = {}
        for one in known():
            for view in range(4):
                crop = crop_of(one, view_of(one, view, data))
                self.asked[crop.matrix.tobytes()] = one

    def __call__(self, picture, crops):
        return [self.say(picture, crop) for crop in crops]

    def say(self, picture, crop):
        said = labels_in(crop, self.asked[crop.matrix.tobytes()], 12)
        seen = np.full(MAP, picture.mean(), np.float32)
        return Answer(said["joints"] + 0.3, said["pixels"], 0.75, said["rotations"], said["shape"], seen)


@pytest.fixture
def taught(tmp_path, monkeypatch):
    """Fills a cache with what the exact teacher says under the name of another."""
    file = tmp_path / "teacher"
    file.write_bytes(b"all")

    def make(name, **settings):
        place = "FILE" if name == "hamer" else ""
        kind = Kind(lambda path, config, data: Exact(data), place, find=lambda place: file)
        monkeypatch.setitem(opening.KINDS, name, kind)
        config = TeacherConfig(source="hamer:x" if name == "hamer" else name, **settings)
        made = lesson(config, hands(), PLAIN_DATA)
        fill(made, made.record({}, made.files()), tmp_path / "answers", lambda *_: None)
        return Taught(config, PLAIN_DATA, Answers(tmp_path / "answers"))

    return make


@pytest.mark.parametrize(("name", "views"), [("mediapipe", 1), ("mediapipe", 3), ("hamer", 2)])
def test_a_kept_answer_says_of_any_crop_what_the_teacher_knows(taught, name, views):
    found, names = taught(name, views=views), ["joints", "pixels", *(["rotations", "shape"] if name == "hamer" else [])]
    rng, used = np.random.default_rng(0), set()
    for one in known() * 4:
        number, view = found.choose(one, rng)
        used.add(number)
        crop = crop_of(one, view)
        said, want = found(one, number, crop), labels_in(crop, one, 12)
        assert set(said) == {"score", *names}
        assert said["score"] == 0.75
        for key in names:
            np.testing.assert_allclose(said[key], want[key], atol=2e-3)
        assert np.abs(said["joints"] - want["joints"]).max() < 2e-4
    assert used == set(range(views))


def test_with_maps_the_training_crops_are_the_views(taught):
    found = taught("hamer", views=3, features=1.0)
    rng = np.random.default_rng(1)
    for one in known() * 3:
        number, view = found.choose(one, rng)
        assert view == view_of(one, number, PLAIN_DATA)
        said = found(one, number, crop_of(one, view))
        assert said["map"].shape == MAP
        gain = 1 if number == 0 else np.mean(view.gain)
        assert said["map"][0, 0, 0] == pytest.approx(40 * one.picture * gain, abs=0.5)


def test_all_training_hands_are_asked_picture_by_picture():
    asked = lesson(TeacherConfig(source="mediapipe", views=2), hands(), PLAIN_DATA)
    assert asked.groups == (("hand-0", "hand-1"), ("hand-2", "hand-3"), ("hand-4",))
    assert asked.shape == (105,)
    assert lesson(TeacherConfig(source="hamer:x"), hands(), PLAIN_DATA).shape == (211,)
    mapped = lesson(TeacherConfig(source="hamer:x", features=0.1), hands(), PLAIN_DATA)
    assert mapped.shape == (211 + 1280 * 16 * 12,)


def test_what_changes_no_answer_changes_no_question():
    def asked(data=PLAIN_DATA, **settings):
        return lesson(TeacherConfig(**({"source": "mediapipe"} | settings)), hands(), data).asked

    turned = PLAIN_DATA.model_copy(update={"turn": 60.0})
    assert asked(labels=0, outputs=2, cache="x", align=False, scaled=False) == asked()
    assert asked(turned) == asked()
    assert asked(views=2) != asked()
    assert asked(turned, views=2) != asked(views=2)
    assert asked(source="hamer:x") != asked()
    assert asked(source="hamer:x", features=0.1) != asked(source="hamer:x")
    assert asked(source="hamer:x") == asked(source="hamer:y")
    fewer = replace(hands(), training=hands().training[1:])
    assert lesson(TeacherConfig(source="mediapipe"), fewer, PLAIN_DATA).asked != asked()


def test_views_are_the_same_each_time_and_differ_by_hand():
    one, other = known(2)
    assert view_of(one, 0, PLAIN_DATA) == PLAIN
    assert view_of(one, 1, PLAIN_DATA) == view_of(one, 1, PLAIN_DATA)
    views = {view_of(h, n, PLAIN_DATA) for h in (one, other) for n in (1, 2)}
    assert len(views) == 4


@given(st.integers(0, 1000), st.sampled_from([LANDMARKS, WHOLE]))
@settings(max_examples=30, deadline=None)
def test_a_row_keeps_an_answer(seed, parts):
    one = hand(seed=seed)
    said = labels_in(crop_of(one, drawn(PLAIN_DATA, np.random.default_rng(seed))), one, 12)
    answer = Answer(said["joints"], said["pixels"], 0.5, said["rotations"], said["shape"])
    row = pack(answer, parts)
    found = unpack(row, 0.5, parts)
    assert row.dtype == np.float16
    np.testing.assert_allclose(found.joints, answer.joints, rtol=2**-11)
    np.testing.assert_allclose(found.pixels, answer.pixels, rtol=2**-11)
    if parts is WHOLE:
        np.testing.assert_allclose(found.rotations, answer.rotations, atol=2e-3)
        np.testing.assert_allclose(found.shape, answer.shape, rtol=2**-11)
    assert (found.rotations is None) == (parts is LANDMARKS)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e6])
def test_an_answer_that_cannot_be_kept_is_told(bad):
    answer = Answer(np.zeros((21, 3), np.float32), np.full((21, 2), bad, np.float32), 1.0)
    with pytest.raises(RequestError, match="not a number"):
        pack(answer, LANDMARKS)
    with pytest.raises(RequestError, match="not a number"):
        pack(replace(answer, pixels=np.zeros((21, 2), np.float32), score=bad if bad != 1e6 else np.nan), LANDMARKS)


def test_an_answer_that_lacks_a_part_is_told():
    answer = Answer(np.zeros((21, 3), np.float32), np.zeros((21, 2), np.float32), 1.0)
    with pytest.raises(RequestError, match=r"gives no `rotations` of \[16, 6\]"):
        pack(answer, WHOLE)
    with pytest.raises(RequestError, match=r"gives no `joints` of \[21, 3\]"):
        pack(replace(answer, joints=np.zeros((20, 3), np.float32)), LANDMARKS)
