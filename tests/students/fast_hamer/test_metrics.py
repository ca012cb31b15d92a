"""Errors of hands, beside other ways to calculate them."""

from __future__ import annotations

import numpy as np
import pytest
from edgekd.students.fast_hamer.metrics import (
    aligned_error,
    area,
    distances,
    f_score,
    found_shares,
    mean_error,
    procrustes,
    root_error,
)
from hypothesis import given, settings
from hypothesis import strategies as st

SEEDS = st.integers(0, 2**32 - 1)


def hands(seed, *shape):
    return np.random.default_rng(seed).normal(0, 0.05, (*shape, 21, 3))


def rotation(rng):
    """Of a random unit quaternion."""
    w, x, y, z = (q := rng.normal(size=4)) / np.linalg.norm(q)
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_alignment_is_the_one_of_the_official_scripts(seed):
    """`align_w_scale` of FreiHAND and HO-3D, written from its definition with scipy's solver."""
    linalg = pytest.importorskip("scipy.linalg")
    predicted, true = hands(seed), hands(seed + 1)
    a, b = true - true.mean(0), predicted - predicted.mean(0)
    turn, scale = linalg.orthogonal_procrustes(a / np.linalg.norm(a), b / np.linalg.norm(b))
    wanted = b / np.linalg.norm(b) @ turn.T * scale * np.linalg.norm(a) + true.mean(0)
    assert procrustes(predicted, true) == pytest.approx(wanted, abs=1e-12)


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_similar_hands_have_no_error(seed):
    rng = np.random.default_rng(seed)
    true = hands(seed)
    moved = rng.uniform(0.1, 9) * true @ rotation(rng) + rng.normal(size=3)
    assert aligned_error(moved, true, reflect=False) == pytest.approx(0, abs=1e-9)
    mirrored = moved * [-1, 1, 1]
    assert aligned_error(mirrored, true) == pytest.approx(0, abs=1e-9)
    assert aligned_error(mirrored, true, reflect=False) > 5


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_how_the_prediction_is_turned_moved_and_scaled_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    predicted, true = hands(seed, 2)
    moved = rng.uniform(0.1, 9) * predicted @ rotation(rng) + rng.normal(size=3)
    for reflect in (True, False):
        assert aligned_error(moved, true, reflect) == pytest.approx(aligned_error(predicted, true, reflect))


@pytest.mark.parametrize("reflect", [True, False])
def test_no_small_change_of_the_alignment_lies_nearer(reflect):
    """What is found is a minimum: turned, scaled or moved a little, the squares grow."""
    rng = np.random.default_rng(4)
    true = hands(9)
    predicted = true * [1, 1, -1] + rng.normal(0, 0.03, (21, 3))
    aligned = procrustes(predicted, true, reflect)
    best = ((aligned - true) ** 2).sum()
    middle = aligned.mean(0)
    for _ in range(50):
        small = np.cross(np.eye(3), rng.normal(0, 0.01, 3))
        turn = np.linalg.qr(np.eye(3) + small)
        turn = turn[0] * np.sign(np.diag(turn[1]))
        changed = (aligned - middle) @ turn * (1 + rng.normal(0, 0.01)) + middle + rng.normal(0, 1e-4, 3)
        assert ((changed - true) ** 2).sum() > best


def test_without_reflections_the_shape_keeps_its_hand():
    """Against the best of many turns tried by brute force."""
    rng = np.random.default_rng(0)
    true = hands(1)
    predicted = true * [1, 1, -1] + rng.normal(0, 0.01, (21, 3))
    best = np.inf
    a, b = true - true.mean(0), predicted - predicted.mean(0)
    for _ in range(10000):
        turned = b @ rotation(rng)
        scale = max(0.0, (turned * a).sum() / (turned**2).sum())  # below zero it would mirror
        best = min(best, ((scale * turned - a) ** 2).sum())
    found = ((procrustes(predicted, true, reflect=False) - true) ** 2).sum()
    assert found <= best
    assert found == pytest.approx(best, rel=0.05)


def test_many_hands_are_measured_at_once():
    predicted, true = hands(0, 3, 2), hands(1, 3, 2)
    errors = aligned_error(predicted, true)
    assert errors.shape == (3, 2)
    assert errors[2, 1] == pytest.approx(aligned_error(predicted[2, 1], true[2, 1]))


def test_points_that_are_all_one_align_to_the_middle():
    true = hands(3)
    assert procrustes(np.ones((21, 3)), true) == pytest.approx(np.broadcast_to(true.mean(0), (21, 3)))


def test_errors_are_in_millimetres():
    true = hands(5)
    moved = true + np.array([0.003, 0, 0.004])
    assert mean_error(moved, true) == pytest.approx(5)
    assert root_error(moved, true) == pytest.approx(0, abs=1e-9)
    moved[4, 1] += 0.021
    assert root_error(moved, true) == pytest.approx(1)


@pytest.mark.parametrize(("metres", "wanted"), [(0.0, 1.0), (0.06, 0.0), (0.025, 0.5)])
def test_the_area_of_one_distance(metres, wanted):
    """A step at a distance leaves what lies right of it; half a threshold's width is the rule's."""
    assert area(np.full(21, metres)) == pytest.approx(wanted, abs=0.5 / 99 + 1e-9)


def test_the_area_is_the_one_of_the_official_scripts():
    """Their order: shares over hands for each landmark, the area under them, the mean over landmarks."""
    assert area(np.zeros(21)) == 1
    apart = distances(hands(0, 40), hands(1, 40)) / 3
    thresholds = np.linspace(0, 0.05, 100)
    areas = []
    for landmark in apart.T:
        curve = np.array([(landmark <= t).mean() for t in thresholds])
        areas.append(sum((curve[i] + curve[i + 1]) / 2 for i in range(99)) / 99)
    assert 0.1 < np.mean(areas) < 0.9
    assert area(apart).mean() == pytest.approx(np.mean(areas))


def test_the_f_score_is_the_harmonic_mean_of_both_ways():
    rng = np.random.default_rng(2)
    predicted, true = rng.normal(0, 0.02, (60, 3)), rng.normal(0, 0.02, (80, 3))
    table = np.linalg.norm(predicted[:, None] - true, axis=2)
    precision, recall = (table.min(1) < 0.01).mean(), (table.min(0) < 0.01).mean()
    assert precision != recall
    assert f_score(predicted, true, 0.01) == pytest.approx(2 * precision * recall / (precision + recall))
    assert f_score(true, true, 0.005) == 1
    assert f_score(true + 9, true, 0.005) == 0


def test_a_vertex_at_the_threshold_is_not_near():
    one, other = np.zeros((1, 3)), np.array([[0.5, 0, 0]])
    assert f_score(one, other, 0.5) == 0
    assert f_score(one, other, 0.51) == 1


def test_landmarks_in_the_picture_are_found_within_shares_of_the_box():
    true = np.zeros((21, 2))
    predicted = true.copy()
    predicted[:, 0] = [0.05 * 64] * 7 + [0.07 * 64] * 7 + [0.2 * 64] * 7
    trust = np.ones(21)
    assert found_shares(predicted, true, trust, 64) == {
        0.05: pytest.approx(1 / 3), 0.1: pytest.approx(2 / 3), 0.15: pytest.approx(2 / 3)
    }  # fmt: skip
    trust[14:] = 0.5
    assert found_shares(predicted, true, trust, 64)[0.1] == 1
    assert np.isnan(found_shares(predicted, true, 0 * trust, 64)[0.1])
