"""Layout, convention and losses of time-bin interferometers."""

import numpy as np
import pytest
from edgekd.errors import RequestError
from edgekd.photonic.circuit import Circuit, alternating
from hypothesis import given

from tests.photonic.brute import circuits


@given(circuits(modes=(1, 8)))
def test_every_circuit_is_unitary(case):
    circuit, angles = case
    unitary = circuit.unitary(angles)
    np.testing.assert_allclose(unitary.conj().T @ unitary, np.eye(circuit.modes), atol=1e-13)
    assert np.iscomplexobj(unitary) == circuit.phases


def test_one_beam_splitter_is_the_rotation_that_was_promised():
    c, s = np.cos(0.3), np.sin(0.3)
    np.testing.assert_allclose(Circuit((1, 0), (1,)).unitary([0.3]), [[c, s], [-s, c]])
    turned = Circuit((1, 0), (1,), phases=True).unitary([0.3, 0.7])
    np.testing.assert_allclose(turned, np.array([[c, s], [-s, c]]) @ np.diag([np.exp(0.7j), 1]))


def test_light_runs_ahead_by_no_more_bins_than_the_loops_are_long():
    circuit = Circuit(alternating(8), (1, 2))
    unitary = circuit.unitary(np.linspace(0.1, 1.2, circuit.angles))
    behind = np.arange(8)[:, None] - np.arange(8)
    assert (unitary[behind < -3] == 0).all()
    assert (unitary[behind == -3] != 0).all()


@pytest.mark.parametrize(("loops", "angles"), [((1,), 15), ((1, 1), 30), ((1, 2), 29), ((1, 4), 27), ((1, 1, 1), 45)])
def test_angles_are_counted_as_the_hardware_counts_them(loops, angles):
    assert Circuit(alternating(16), loops).angles == angles
    assert Circuit(alternating(16), loops, phases=True).angles == 2 * angles


def test_settings_come_in_batches():
    circuit = Circuit((1, 0, 1), (1, 2), phases=True)
    angles = np.random.default_rng(0).uniform(0, 6, (2, 3, circuit.angles))
    np.testing.assert_array_equal(circuit.unitary(angles)[1, 2], circuit.unitary(angles[1, 2]))


def test_each_pass_of_a_loop_loses_its_share():
    """From bin j to bin i a loop of length 1 is run through i - j + 1 times."""
    circuit = Circuit((1, 0, 0, 0), (1,))
    angles = np.array([0.4, 1.0, 2.0])
    passes = np.arange(4)[:, None] - np.arange(4) + 1
    np.testing.assert_allclose(
        circuit.transfer(angles, loss=0.19), circuit.unitary(angles) * 0.9 ** np.maximum(passes, 0), atol=1e-15
    )


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Circuit(()), r"photons \[\] are not counts"),
        (lambda: Circuit((1, -1)), "not counts by mode"),
        (lambda: Circuit((41, 0), (1,)), "41 photons are too many"),
        (lambda: Circuit((1, 0), (2,)), "a loop of 2 bins does not fit 2 modes"),
        (lambda: Circuit((1, 0), (0,)), "a loop of 0 bins"),
        (lambda: Circuit((1, 0, 1)).unitary([1.0]), "the circuit has 4 angles"),
        (lambda: Circuit((1, 0), (1,)).unitary(1.0), "the circuit has 1 angles"),
        (lambda: Circuit((1, 0), (1,)).unitary(["east"]), "the angles are not numbers"),
        (lambda: Circuit((1, 0), (1,)).unitary([np.nan]), "an angle is not finite"),
    ],
)
def test_what_is_no_circuit_is_told(make, told):
    with pytest.raises(RequestError, match=told):
        make()
