"""The hand of our own making: arrays of MANO's shapes, a surface, proportions of a hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from edgekd.students.fast_hamer.data.poses import _hinge
from edgekd.students.fast_hamer.hand.model import FACES, LANDMARKS, VERTICES
from edgekd.students.fast_hamer.hand.rotations import around
from edgekd.students.fast_hamer.hand.skinning import skin
from edgekd.students.fast_hamer.hand.synthetic import ALL, THUMB, synthetic_hand

MODEL = synthetic_hand()


def landmarks(shape: np.ndarray, turns: np.ndarray | None = None) -> np.ndarray:
    still = np.tile(np.eye(3), (16, 1, 1))
    return skin(MODEL, (still if turns is None else turns)[None], shape[None])[1][0]


REST = landmarks(np.zeros(10))


def test_arrays_are_of_manos_shapes() -> None:
    assert MODEL.template.shape == (VERTICES, 3)
    assert MODEL.faces.shape == (FACES, 3)
    assert MODEL.shapedirs.shape == (VERTICES, 3, 10)
    assert MODEL.posedirs.shape == (VERTICES, 3, 135)
    assert MODEL.regressor.shape == (16, VERTICES)
    assert MODEL.weights.shape == (VERTICES, 16)
    np.testing.assert_allclose(MODEL.regressor.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(MODEL.weights.sum(1), 1, atol=1e-5)
    assert MODEL.weights.min() >= 0


def test_one_surface_that_is_open_at_the_wrist_alone() -> None:
    edges = Counter(
        edge for a, b, c in MODEL.faces.tolist() for edge in ((a, b), (b, c), (c, a))
    )  # each direction of an edge is one face's
    assert max(edges.values()) == 1
    border = [(a, b) for a, b in edges if (b, a) not in edges]
    assert {a for a, _ in border} == set(range(16))
    assert len(border) == 16
    undirected = {tuple(sorted(edge)) for edge in edges}
    assert VERTICES - len(undirected) + FACES == 1  # a disc's Euler characteristic: no hole, no handle
    assert set(np.unique(MODEL.faces)) == set(range(VERTICES))


def test_faces_look_outwards() -> None:
    corners = MODEL.template[MODEL.faces].astype(float)
    volume = np.einsum("fk,fk->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert 150e-6 < volume < 450e-6  # a hand has about 300 millilitres


def test_it_lies_flat_with_its_wrist_at_the_origin() -> None:
    assert np.linalg.norm(REST[0]) < 0.01
    assert np.abs(REST[5:, 2]).max() < 0.005
    assert np.ptp(MODEL.template[:, 2]) < 0.06


def test_proportions_are_a_hands() -> None:
    bones = np.linalg.norm(np.diff(REST.reshape(-1, 3)[1:].reshape(5, 4, 3), axis=1), axis=2)
    assert np.linalg.norm(REST[9] - REST[0]) == pytest.approx(0.09, abs=0.005)
    np.testing.assert_allclose(bones[1], [0.045, 0.025, 0.02], atol=0.004)
    assert bones[2].sum() == bones[1:].sum(1).max()
    assert bones[4].sum() == bones[1:].sum(1).min()
    assert np.all(np.diff(bones, axis=1) < 0)


def test_it_is_a_right_hand() -> None:
    """Seen from the palm with fingers up the thumb is on the viewer's right; folded fingers come towards the viewer."""
    assert REST[4, 0] > REST[8, 0] > REST[20, 0]
    folded = np.tile(np.eye(3), (16, 1, 1))
    for finger in ALL:
        for k in range(3):
            folded[finger.joint + k] = around(1.3 * _hinge(finger))
    tips = landmarks(np.zeros(10), folded)[[8, 12, 16, 20]]
    assert (tips[:, 2] > 0.02).all()


def test_tips_are_the_ends() -> None:
    for finger, tip in zip(ALL, MODEL.tips, strict=True):
        along = MODEL.template @ finger.direction
        others = np.linalg.norm(np.cross(MODEL.template - np.array(finger.base), finger.direction), axis=1) < 0.01
        assert along[tip] >= along[others].max() - 0.004


def test_vertices_follow_the_bone_they_lie_at() -> None:
    joints = MODEL.regressor @ MODEL.template
    for finger in ALL:
        for k, length in enumerate(finger.bones):
            middle = joints[finger.joint + k] + finger.direction * length / 2
            near = np.argsort(np.linalg.norm(MODEL.template - middle, axis=1))[:4]
            assert MODEL.weights[near, finger.joint + k].min() > (0.6 if finger is THUMB and k == 0 else 0.9)


@pytest.mark.parametrize("which", range(10))
def test_each_coefficient_changes_the_hand_plausibly(which: int) -> None:
    moved = {sign: landmarks(sign * 2 * np.eye(10)[which]) for sign in (-1, 1)}
    change = np.abs(2 * MODEL.shapedirs[:, :, which]).max()
    assert 0.0015 < change < 0.03
    for hand in moved.values():
        assert 0.07 < np.linalg.norm(hand[9] - hand[0]) < 0.11
        bones = np.linalg.norm(np.diff(hand[1:].reshape(5, 4, 3), axis=1), axis=2)
        assert (bones > 0.014).all()
        assert (bones < 0.06).all()


def test_coefficients_are_told_apart() -> None:
    directions = MODEL.shapedirs.reshape(-1, 10).astype(float)
    directions /= np.linalg.norm(directions, axis=0)
    np.testing.assert_allclose(directions.T @ directions, np.eye(10), atol=1e-4)


def test_bending_changes_the_skin_a_little_and_none_of_it_in_rest() -> None:
    turns = np.tile(np.eye(3), (15, 1, 1))
    for finger in ALL:
        for k in range(3):
            turns[finger.joint + k - 1] = around(1.5 * _hinge(finger))
    moved = np.linalg.norm(MODEL.posedirs @ (turns - np.eye(3)).ravel(), axis=1)
    assert 0.0005 < moved.max() < 0.004


def test_landmarks_are_numbered_as_usual() -> None:
    assert sorted(LANDMARKS) == list(range(21))
    heights = REST[[8, 12, 16, 20], 1]
    assert np.argmax(heights) == 1
    assert (REST[[5, 9, 13, 17], 1] < REST[[6, 10, 14, 18], 1]).all()
