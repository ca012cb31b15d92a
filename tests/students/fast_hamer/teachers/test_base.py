"""Answers moved to another crop are answers to it, and squares lie the same whichever crop the hand was seen in."""

from __future__ import annotations

import numpy as np
import pytest
from edgekd.students.fast_hamer.crop import Crop, View, crop_of, labels_in
from edgekd.students.fast_hamer.teachers.base import Answer, moved
from edgekd.students.fast_hamer.teachers.mediapipe import inside, upright
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.students.fast_hamer.test_crop import SIDES, VIEWS, hand


def exact(known, crop):
    """What a teacher that knows all says of a crop."""
    said = labels_in(crop, known, 12)
    return Answer(said["joints"], said["pixels"], 0.9, said["rotations"], said["shape"], np.ones((2, 1, 1), np.float32))


@given(VIEWS, VIEWS, SIDES, st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_a_moved_answer_is_the_answer_to_the_other_crop(seen, wanted, right, seed):
    known = hand(right, seed)
    one, other = crop_of(known, seen), crop_of(known, wanted)
    found, want = moved(exact(known, one), one, other), exact(known, other)
    for name in ("joints", "pixels", "rotations", "shape"):
        np.testing.assert_allclose(getattr(found, name), getattr(want, name), atol=1e-5)
    assert found.score == 0.9
    assert found.map is None


def test_moving_changes_nothing_that_was_given():
    known = hand()
    answer = exact(known, crop_of(known))
    before = answer.rotations.copy()
    moved(answer, crop_of(known), crop_of(known, View(turn=90)))
    np.testing.assert_array_equal(answer.rotations, before)


WHOLE = Crop(np.eye(2, 3), np.eye(3), False, 1.0)


def drawn_hand():
    """Wrist below, bases of the fingers around the middle, a thumb to the right; what does not count is far away."""
    places = np.zeros((21, 2), np.float32)
    places[0], places[2], places[5], places[13] = (0, 0.3), (0.2, 0.1), (-0.1, 0), (0.1, 0)
    places[[4, 7, 8, 11, 12, 15, 16, 19, 20]] = 0.5
    return places


@pytest.mark.parametrize(
    ("turn", "middle"), [(0, (0.05, 0.12)), (90, (-0.12, 0.05)), (180, (-0.05, -0.12)), (270, (0.12, -0.05))]
)
def test_the_square_of_a_drawn_hand(turn, middle):
    """Counted by hand: the box is 0.3 wide and high around (0.05, 0.15), 0.03 up is 0.12, twice as wide is 0.6."""
    c, s = round(np.cos(np.radians(turn))), round(np.sin(np.radians(turn)))
    square = upright(drawn_hand() @ np.array([[c, s], [-s, c]], np.float32), WHOLE)
    assert square.size == pytest.approx(0.6)
    np.testing.assert_allclose(square.pixels(np.zeros(2)), middle, atol=1e-6)
    up = square.places(np.array([[0, 0], [0.3 * s, -0.3 * c]]))
    np.testing.assert_allclose(up[1] - up[0], (0, -0.5), atol=1e-6)


@given(VIEWS, VIEWS, SIDES, st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_a_hand_has_one_square_wherever_it_was_found(one, other, right, seed):
    known = hand(right, seed)
    squares = []
    for view in (one, other):
        crop = crop_of(known, view)
        squares.append(upright(labels_in(crop, known, 12)["pixels"], crop))
    np.testing.assert_allclose(squares[0].matrix, squares[1].matrix, atol=1e-4)
    np.testing.assert_allclose(squares[0].turning, squares[1].turning, atol=1e-4)
    assert squares[0].size == pytest.approx(squares[1].size, rel=1e-4)


def test_a_crop_of_a_crop_moves_labels_as_any_other():
    known = hand(right=False)
    crop = inside(crop_of(known), np.array([0.1, -0.05]), 0.5, 0.7)
    said = labels_in(crop, known, 12)
    back = crop_of(known).places(crop.pixels(said["pixels"]))
    np.testing.assert_allclose(back, labels_in(crop_of(known), known, 12)["pixels"], atol=1e-5)
    assert crop.size == known.size / 2
    assert crop.mirrored
    np.testing.assert_allclose(crop.turning @ crop.turning.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(crop.matrix[:, :2] * crop.size, crop.turning[:2, :2], atol=1e-12)
