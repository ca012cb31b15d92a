"""The fixed mixing: the same numbers everywhere, from signs that nobody stored."""

import hashlib
from math import sqrt

import numpy as np
import pytest
from edgekd.errors import RequestError
from edgekd.students.pqkd.mixing import GRID, ROWS, direction, mixing, scale
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays


def signs(seed: int, layer: int, rows: int, features: int) -> np.ndarray:
    """The matrix A written out, bit by bit of the generator's words."""
    words = -(-features // 64)
    raw = np.random.Philox(key=np.array([seed, layer], np.uint64)).random_raw(rows * words)
    bits = (raw[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    return 2 * bits.reshape(rows, words * 64)[:, :features].astype(np.int64) - 1


@pytest.mark.parametrize("features", [1, 8, 63, 64, 65, 512])
def test_the_matrix_is_one_of_signs(features):
    towards = direction(np.random.default_rng(0).normal(size=features))
    found = mixing(towards, 7, 2, (5, 3, 4))
    wanted = signs(7, 2, 60, features) @ towards.astype(np.int64) / GRID * sqrt(2 / 27)
    np.testing.assert_array_equal(found, wanted.astype(np.float32).reshape(5, 3, 4))


def test_more_rows_than_exist_at_once():
    towards = direction(np.arange(1.0, 9.0))
    whole = mixing(towards, 0, 0, (ROWS, 2, 1))
    wanted = signs(0, 0, 2 * ROWS, 8) @ towards.astype(np.int64) / GRID * scale(2)
    np.testing.assert_array_equal(whole.ravel(), wanted.astype(np.float32))


def test_the_same_bits_as_ever():
    """Were these to change, stored forms would come to other nets."""
    towards = (np.arange(512, dtype=np.int32) * 7919) % 1_048_576
    found = mixing(towards, 3, 1, (16, 8, 4)).astype("<f4")
    assert (
        hashlib.sha256(found.tobytes()).hexdigest()
        == "faa5d3e9a02b54abe926438d24cb6fdb7859421e98f6640fa9d06c800ca20a57"
    )


@given(arrays(np.float64, 16, elements=st.floats(-1e6, 1e6)), st.floats(1e-3, 1e3))
def test_only_the_direction_counts(features, times):
    if np.linalg.norm(features) < 1e-3:
        return
    first, scaled = direction(features), direction(features * times)
    assert np.abs(first - scaled).max() <= 1
    assert abs(np.linalg.norm(first / GRID) - 1) < 16 / GRID


def test_other_seeds_and_layers_mix_independently():
    """Correlations of n independent products have the standard deviation 1 / sqrt(n)."""
    towards, shape = direction(np.random.default_rng(1).random(512)), (64, 32, 4)
    base, n = mixing(towards, 0, 0, shape).ravel(), 64 * 32 * 4
    assert abs(base.std() / scale(32) - 1) < 4 / sqrt(2 * n)
    for other in (mixing(towards, 1, 0, shape), mixing(towards, 0, 1, shape)):
        assert abs(np.corrcoef(base, other.ravel())[0, 1]) < 4 / sqrt(n)


@pytest.mark.parametrize("features", [np.zeros(8), np.array([1.0, np.nan]), np.array([1.0, np.inf])])
def test_features_without_a_direction(features):
    with pytest.raises(RequestError, match=r"all zero, or not finite"):
        direction(features)
