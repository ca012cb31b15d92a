"""SPSA: right on average, and at the minimum of a bowl in the end; the moving average's variance."""

import numpy as np
import pytest
from edgekd.students.pqkd.config import Spsa
from edgekd.students.pqkd.spsa import gradient, update

HESSIAN = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.3], [0.0, 0.3, 1.5]])
BOTTOM = np.array([0.7, -1.2, 0.4])


def bowl(at: np.ndarray, side: int) -> float:
    return float((at - BOTTOM) @ HESSIAN @ (at - BOTTOM) / 2)


def test_its_mean_is_the_gradient():
    """Of a quadratic a draw is `d (g . d)` exactly: mean g_i, variance the sum of the others' squares."""
    at, draws = np.array([1.0, 2.0, -1.0]), 4000
    g = HESSIAN @ (at - BOTTOM)
    rng = np.random.default_rng(0)
    found = np.array([gradient(bowl, at, 0.3, rng) for _ in range(draws)])
    spread = np.sqrt((g @ g - g * g) / draws)
    assert np.all(np.abs(found.mean(0) - g) < 4 * spread)
    np.testing.assert_allclose(found.var(0), g @ g - g * g, rtol=0.15)


def test_it_finds_the_bottom_of_a_bowl_through_noise():
    config, rng, at = Spsa(a=0.4, c=0.1), np.random.default_rng(0), np.zeros(3)
    noise = np.random.default_rng(1)
    for k in range(1500):
        at = update(lambda x, side: bowl(x, side) + 0.01 * noise.normal(), at, config, k, 1500, rng)
    assert np.linalg.norm(at - BOTTOM) < 0.05 < np.linalg.norm(BOTTOM)


def test_gains_are_spalls():
    """One coordinate, slope 1: the step is the gain itself."""
    config = Spsa(a=0.3, c=0.2, stability=0.1)
    probed = []

    def slope(at: np.ndarray, side: int) -> float:
        probed.append(float(at[0]))
        return float(at[0])

    for k in (0, 7):
        probed.clear()
        moved = update(slope, np.zeros(1), config, k, 50, np.random.default_rng(0))
        assert moved[0] == pytest.approx(-0.3 / (k + 1 + 5) ** 0.602)
        assert sorted(probed) == pytest.approx([-0.2 / (k + 1) ** 0.101, 0.2 / (k + 1) ** 0.101])
