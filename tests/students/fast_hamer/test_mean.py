"""The mean hand: turned as the labels lie, seen where and as wide as they are."""

import numpy as np
import pytest
from edgekd.students.fast_hamer.hand.camera import project
from edgekd.students.fast_hamer.hand.rotations import around, from_6d, to_6d
from edgekd.students.fast_hamer.hand.skinning import skin
from edgekd.students.fast_hamer.hand.synthetic import synthetic_hand
from edgekd.students.fast_hamer.mean import mean_hand, turn_between

HAND = synthetic_hand()


def labels(rotations, shape, camera, known=True):
    landmarks = skin(HAND, rotations[None], shape[None])[1][0]
    return {
        "rotations": rotations, "has_rotations": known, "shape": shape, "has_shape": known,
        "joints": landmarks - landmarks[0], "has_joints": np.ones(21),
        "pixels": project(landmarks, camera), "has_pixels": np.ones(21),
    }  # fmt: skip


@pytest.mark.parametrize("known", [True, False])
def test_of_one_hand_it_is_that_hand(known):
    """Without labelled rotations that is a straight hand alone."""
    rotations = np.tile(np.eye(3), (16, 1, 1))
    rotations[0] = around(np.array([2.0, 0.7, -0.4]))
    if known:
        rotations[1:] = around(np.random.default_rng(0).normal(0, 0.3, (15, 3)))
    shape, camera = np.zeros(10), np.array([7.0, 0.02, -0.03])
    pose, form, seen = mean_hand(HAND, [labels(rotations, shape, camera, known)] * 3)
    assert np.allclose(from_6d(pose.reshape(16, 6)), rotations, atol=1e-4)
    assert np.allclose(form, 0)
    assert seen == pytest.approx(camera, rel=0.03, abs=2e-3)  # of a camera so far away nearly without perspective


def test_a_turn_is_found_and_never_a_mirror():
    rng = np.random.default_rng(1)
    points, turn = rng.normal(size=(21, 3)), around(rng.normal(size=3))
    assert np.allclose(turn_between(points, points @ turn.T + 3), turn, atol=1e-9)
    assert np.linalg.det(turn_between(points, points * [-1, 1, 1])) == pytest.approx(1)


def test_six_numbers_and_back():
    turns = around(np.random.default_rng(2).normal(size=(5, 3)))
    assert np.allclose(from_6d(to_6d(turns)), turns)
