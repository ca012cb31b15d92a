"""Rotations as six numbers, matrices, axes with angles."""

from __future__ import annotations

import numpy as np
import torch
from edgekd.students.fast_hamer.hand import torched
from edgekd.students.fast_hamer.hand.rotations import around, from_6d, to_6d
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

SIX = hnp.arrays(np.float64, (4, 6), elements=st.floats(-10, 10))


def test_six_numbers_are_two_columns() -> None:
    np.testing.assert_allclose(from_6d(np.array([0, 2.0, 0, -3, 5, 0])), [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)
    np.testing.assert_array_equal(to_6d(np.arange(9).reshape(3, 3)), [0, 3, 6, 1, 4, 7])


@given(SIX)
def test_six_numbers_give_rotations_and_come_back(six: np.ndarray) -> None:
    told = np.linalg.norm(np.cross(six[:, :3], six[:, 3:]), axis=1) > 1e-3
    matrices = from_6d(six[told])
    np.testing.assert_allclose(matrices @ matrices.swapaxes(1, 2), np.tile(np.eye(3), (told.sum(), 1, 1)), atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(matrices), 1, atol=1e-6)
    np.testing.assert_allclose(from_6d(to_6d(matrices)), matrices, atol=1e-9)


@given(SIX)
def test_torch_says_the_same(six: np.ndarray) -> None:
    told = six[np.linalg.norm(np.cross(six[:, :3], six[:, 3:]), axis=1) > 1e-3]
    np.testing.assert_allclose(torched.from_6d(torch.from_numpy(told)).numpy(), from_6d(told), atol=1e-9)


def test_numbers_that_tell_no_rotation_stay_finite() -> None:
    assert np.isfinite(from_6d(np.zeros(6))).all()
    assert torch.isfinite(torched.from_6d(torch.zeros(6))).all()


@given(hnp.arrays(np.float64, 3, elements=st.floats(-3, 3)))
def test_around_an_axis_is_the_exponential_of_its_cross_product(vector: np.ndarray) -> None:
    x, y, z = vector
    power = total = np.eye(3)
    for n in range(1, 60):
        power = power @ np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) / n
        total = total + power
    np.testing.assert_allclose(around(vector), total, atol=1e-7)


def test_many_at_once() -> None:
    vectors = np.random.default_rng(0).normal(size=(2, 5, 3))
    assert around(vectors).shape == (2, 5, 3, 3)
    np.testing.assert_array_equal(around(vectors)[1, 3], around(vectors[1, 3]))
    np.testing.assert_array_equal(from_6d(to_6d(around(vectors)))[0].shape, (5, 3, 3))
