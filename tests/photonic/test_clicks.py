"""Click distributions and histograms against enumeration."""

import numpy as np
import pytest
from edgekd.errors import RequestError
from edgekd.photonic import clicks, halves
from edgekd.photonic.circuit import Circuit, alternating
from edgekd.photonic.sampling import sample
from hypothesis import given, settings

from tests.photonic import brute


@settings(max_examples=40, deadline=None)
@given(brute.circuits(modes=(2, 6), photons=3))
def test_clicks_are_sums_over_states(case):
    circuit, angles = case
    unitary = circuit.unitary(angles)
    expected = brute.clicks(brute.distribution(unitary, circuit.photons), circuit.modes)
    np.testing.assert_allclose(clicks.distribution(unitary, circuit.photons), expected, atol=1e-12)
    if circuit.modes % 2 == 0:
        for interleaved in (False, True):
            found = clicks.features(unitary, circuit.photons, interleaved)
            np.testing.assert_allclose(found, brute.halves(expected, circuit.modes, interleaved), atol=1e-12)


def test_streamed_blocks_may_cut_a_pattern_in_two(monkeypatch):
    whole = clicks.distribution(brute.haar(8), alternating(8))
    for rows in (1, 7, 50):
        monkeypatch.setattr(halves, "ROWS", rows)
        np.testing.assert_allclose(clicks.distribution(brute.haar(8), alternating(8)), whole, atol=1e-15)


def test_sixteen_modes_have_512_features_that_agree_with_the_joint_distribution():
    circuit = Circuit(alternating(16))
    unitary = circuit.unitary(np.random.default_rng(3).uniform(0, 6, (2, circuit.angles)))
    joint, found = clicks.distribution(unitary, circuit.photons), clicks.features(unitary, circuit.photons)
    assert found.shape == (2, 512)
    np.testing.assert_allclose(found, [brute.halves(one, 16) for one in joint], atol=1e-13)


def test_a_histogram_of_known_shots():
    shots = np.array([[1, 0, 0, 1], [1, 0, 1, 1]], bool)
    np.testing.assert_array_equal(clicks.patterns(shots), [9, 11])
    np.testing.assert_array_equal(clicks.histogram(shots), [0, 0, 1, 0, 0, 0.5, 0, 0.5])
    np.testing.assert_array_equal(clicks.histogram(shots, interleaved=True), [0, 0, 0.5, 0.5, 0, 1, 0, 0])


@pytest.mark.parametrize("shots", [50, 800])
def test_shot_noise_falls_with_the_root_of_the_shots(shots):
    """E |phi - phi_S|^2 = sum p (1 - p) / S.

    A squared error varies by at most about sqrt(2) of its mean, as the square of one Gaussian number does, so the mean
    of 400 keeps within 5 sqrt(2 / 400) of it but for one run in a million.
    """
    circuit, rng = Circuit(alternating(8)), np.random.default_rng(0)
    unitary = circuit.unitary(np.linspace(0.2, 2.9, circuit.angles))
    exact = clicks.features(unitary, circuit.photons)
    drawn = sample(unitary, circuit.photons, 400 * shots, rng).reshape(400, shots, 8) > 0
    errors = [((clicks.histogram(one) - exact) ** 2).sum() for one in drawn]
    assert abs(np.mean(errors) * shots / (exact * (1 - exact)).sum() - 1) < 5 * np.sqrt(2 / 400)


def test_what_has_no_halves_or_shots_is_told():
    with pytest.raises(RequestError, match="3 modes have no two halves"):
        clicks.features(np.eye(3), (1, 0, 1))
    with pytest.raises(RequestError, match="no shots, no histogram"):
        clicks.histogram(np.zeros((0, 4), bool))
    with pytest.raises(RequestError, match=r"a histogram of two halves of 40 modes needs about 6\.55e\+04 GiB"):
        clicks.histogram(np.zeros((1, 80), bool))
    with pytest.raises(RequestError, match="the click distribution needs about"):
        clicks.distribution(np.eye(20), alternating(20), limit=2**20)
