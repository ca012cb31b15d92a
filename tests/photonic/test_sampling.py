"""Samplers against exact distributions; chi-square at level 1e-5, seeds fixed."""

import numpy as np
import pytest
from edgekd.errors import RequestError
from edgekd.photonic import fock, timeline
from edgekd.photonic.basis import rank
from edgekd.photonic.circuit import Circuit, alternating
from edgekd.photonic.sampling import markov, sample

from tests.photonic import brute

SHOTS = 40_000
CASES = [
    Circuit((1, 0, 1, 0), (1,)),
    Circuit((0, 2, 1, 1, 0), (1,), phases=True),
    Circuit((1, 0, 1, 0, 1, 0), (1, 1)),
    Circuit((1, 1, 0, 2, 0), (1, 2), phases=True),
    Circuit((1, 0, 1, 1), (3, 1)),
    Circuit((0, 0, 0), (1,)),
    Circuit((3,), ()),
]


def angles_of(circuit: Circuit) -> np.ndarray:
    return np.random.default_rng(5).uniform(0, 6, circuit.angles)


def agrees(circuit: Circuit, drawn: np.ndarray) -> bool:
    exact = fock.distribution(circuit.unitary(angles_of(circuit)), circuit.photons)
    return brute.chi_square_holds(np.bincount(rank(drawn), minlength=len(exact)), exact)


def inputs(circuit: Circuit, shots: int) -> np.ndarray:
    return np.tile(np.array(circuit.photons, np.int8), (shots, 1))


@pytest.mark.parametrize("circuit", CASES)
def test_samples_follow_the_exact_distribution(circuit):
    drawn = sample(circuit.unitary(angles_of(circuit)), circuit.photons, SHOTS, np.random.default_rng(1))
    assert (drawn.sum(1) == circuit.total).all()
    assert agrees(circuit, drawn)


@pytest.mark.parametrize("circuit", CASES)
def test_so_does_light_that_is_followed_bin_by_bin(circuit):
    drawn = timeline.sample(circuit, angles_of(circuit), inputs(circuit, SHOTS), np.random.default_rng(2))
    assert agrees(circuit, drawn)


@pytest.mark.parametrize("circuit", CASES[:2])
def test_so_does_the_walk_of_one_loop(circuit):
    drawn = markov(circuit, angles_of(circuit), inputs(circuit, SHOTS), np.random.default_rng(3))
    assert agrees(circuit, drawn)


def test_the_test_itself_notices_another_circuit():
    circuit = CASES[2]
    moved = sample(circuit.unitary(angles_of(circuit) + 0.03), circuit.photons, SHOTS, np.random.default_rng(1))
    assert not agrees(circuit, moved)


def test_the_same_seed_draws_the_same():
    circuit = CASES[2]
    unitary = circuit.unitary(angles_of(circuit))
    one, same, other = (sample(unitary, circuit.photons, 100, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_an_interferometer_of_any_kind_is_sampled():
    drawn = sample(brute.haar(6), alternating(6), SHOTS, np.random.default_rng(0))
    exact = fock.distribution(brute.haar(6), alternating(6))
    assert brute.chi_square_holds(np.bincount(rank(drawn), minlength=len(exact)), exact)


def test_forty_bins_and_twenty_photons_leave_no_photon_out():
    """2.8e15 states: no Fock space holds them. The mean photon numbers are those of |U|^2."""
    circuit = Circuit(alternating(40))
    angles = angles_of(circuit)
    drawn = timeline.sample(circuit, angles, inputs(circuit, 400), np.random.default_rng(0))
    assert (drawn.sum(1) == 20).all()
    expected = np.abs(circuit.unitary(angles)) ** 2 @ circuit.photons
    assert (np.abs(drawn.mean(0) - expected) < 6 * drawn.std(0) / 20 + 1e-9).all()


def test_beam_splitters_of_many_photons_stay_unitary():
    for gate in timeline.splitters(np.cos([0.3, 2.0]), np.sin([0.3, 2.0]), np.array([0.2, 1.0]), 40):
        np.testing.assert_allclose(gate.conj().swapaxes(1, 2) @ gate, np.eye(gate.shape[1])[None].repeat(2, 0),
                                   atol=1e-10)  # fmt: skip


def test_a_bin_leaves_as_soon_as_it_can():
    assert timeline.live(Circuit(alternating(16), (1,))) == 2
    assert timeline.live(Circuit(alternating(16), (1, 1))) == 3
    assert timeline.live(Circuit(alternating(16), (1, 4))) == 6


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda rng: sample(np.eye(2), (1, 0), 0, rng), "0 shots were asked for"),
        (lambda rng: sample(np.eye(2)[None], (1, 0), 1, rng), r"one matrix .* \[1, 2, 2\] was given"),
        (lambda rng: sample(np.ones((2, 2)), (1, 0), 1, rng), "not unitary"),
        (
            lambda rng: markov(Circuit((1, 0)), np.ones(2), np.ones((1, 2), np.int8), rng),
            r"loops \[1, 1\] are no Markov",
        ),
        (lambda rng: markov(Circuit((1, 0), (1,)), np.ones(3), np.ones((1, 2), np.int8), rng), "has 1 angles"),
        (lambda rng: sample(np.eye(40), (1,) * 40, 1, rng), "the sampler needs about"),
    ],
)
def test_what_cannot_be_sampled_is_told(make, told):
    with pytest.raises(RequestError, match=told):
        make(np.random.default_rng(0))
