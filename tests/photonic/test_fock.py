"""Exact distributions against permanents by Ryser; what does not fit or is no interferometer is refused."""

import tracemalloc

import numpy as np
import pytest
from edgekd.errors import RequestError
from edgekd.photonic import basis, fock, halves
from edgekd.photonic.circuit import Circuit, alternating
from hypothesis import given, settings

from tests.photonic import brute


@settings(max_examples=60, deadline=None)
@given(brute.circuits(modes=(1, 6), photons=4))
def test_probabilities_are_those_of_permanents(case):
    circuit, angles = case
    unitary = circuit.unitary(angles)
    found = fock.distribution(unitary, circuit.photons)
    expected = list(brute.distribution(unitary, circuit.photons).values())
    np.testing.assert_allclose(found, expected, atol=1e-12, rtol=0)
    assert abs(found.sum() - 1) < 1e-12


@pytest.mark.parametrize("photons", [(1, 0, 1, 0, 1, 0, 1, 0), (0, 2, 0, 0, 0, 1, 1, 0)])
@pytest.mark.parametrize("loops", [(), (1,), (1, 1), (1, 3)])
def test_eight_modes_and_four_photons(photons, loops):
    circuit = Circuit(photons, loops or (1,), phases=True)
    unitary = circuit.unitary(np.linspace(0, 3, circuit.angles)) if loops else brute.haar(8)
    expected = list(brute.distribution(unitary, photons).values())
    np.testing.assert_allclose(fock.distribution(unitary, photons), expected, atol=1e-12, rtol=0)


def test_two_photons_that_meet_leave_together():
    """Hong, Ou, Mandel 1987."""
    np.testing.assert_allclose(fock.distribution(Circuit((1, 1), (1,)).unitary([np.pi / 4]), (1, 1)), [0.5, 0, 0.5],
                               atol=1e-15)  # fmt: skip


@pytest.mark.parametrize("modes", [12, 16])
def test_large_distributions_add_to_one(modes):
    circuit = Circuit(alternating(modes))
    found = fock.distribution(circuit.unitary(np.linspace(0, 4, circuit.angles)), circuit.photons)
    assert len(found) == basis.count(modes, modes // 2)
    assert abs(found.sum() - 1) < 1e-12


def test_a_batch_is_its_settings_one_by_one():
    """Also where a photon has a choice in one setting only."""
    circuit = Circuit((1, 0, 2, 0, 1), (1, 2))
    angles = np.random.default_rng(1).uniform(0, 6, (2, 3, circuit.angles))
    angles[0, 0] = 0
    unitary = circuit.unitary(angles)
    found = fock.distribution(unitary, circuit.photons)
    for i in np.ndindex(2, 3):
        np.testing.assert_allclose(found[i], fock.distribution(unitary[i], circuit.photons), atol=1e-14)


def test_blocks_that_are_streamed_in_pieces_are_the_same(monkeypatch):
    whole = fock.distribution(brute.haar(8), alternating(8))
    monkeypatch.setattr(halves, "ROWS", 50)
    np.testing.assert_allclose(fock.distribution(brute.haar(8), alternating(8)), whole, atol=1e-16)


def test_more_than_may_be_used_is_refused_with_the_number():
    circuit = Circuit(alternating(20))
    with pytest.raises(RequestError, match=r"20,030,010 states needs about 0\.\d+ GiB, 0\.0977 GiB are allowed"):
        fock.distribution(circuit.unitary(np.ones(circuit.angles)), circuit.photons, limit=100 * 2**20)
    with pytest.raises(RequestError, match=r"needs about \d\.\d+e\+\d+ GiB"):
        fock.distribution(np.eye(80), alternating(80))


def test_photons_that_may_all_go_anywhere_count_in_the_estimate():
    with pytest.raises(RequestError, match=r"GiB are allowed"):
        fock.distribution(brute.haar(20), alternating(20), limit=400 * 2**20)


@pytest.mark.parametrize("banded", [True, False])
def test_the_estimate_is_kept(banded):
    circuit = Circuit(alternating(14))
    unitary = circuit.unitary(np.linspace(0, 3, circuit.angles)) if banded else brute.haar(14)
    for cached in (basis.states, basis.growth, basis.starts, halves.shares, halves.weights, halves.root_factorials):
        cached.cache_clear()
    cut = halves.split(unitary, circuit.photons, 7)
    limit = fock.estimate(cut, 1, unitary.itemsize, basis.count(14, 7))
    tracemalloc.start()
    fock.distribution(unitary, circuit.photons, limit)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < limit < 6 * peak


@pytest.mark.parametrize(
    ("matrix", "photons", "told"),
    [
        (np.eye(2) * 1.1, (1, 0), "not unitary, its columns are off by 0.21"),
        (np.array([[1, np.nan], [0, 1]]), (1, 0), "not unitary"),
        ([["a", "b"], ["c", "d"]], (1, 0), "does not consist of numbers"),
        ([[1, 0], [1]], (1, 0), "does not consist of numbers"),
        (np.eye(3), (1, 0), r"2 x 2 is needed, \[3, 3\] was given"),
        (np.eye(2)[0], (1, 0), r"2 x 2 is needed"),
        (np.eye(2), (40, 1), "41 photons are too many"),
        (np.eye(2), (1, -1), "not counts"),
        (np.eye(2), (1, 0.5), "not counts"),
    ],
)
def test_what_is_no_interferometer_is_told(matrix, photons, told):
    with pytest.raises(RequestError, match=told):
        fock.distribution(matrix, photons)
