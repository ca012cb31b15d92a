"""The torch form against the numpy one, and its gradients against differences."""

import numpy as np
import pytest
import torch
from edgekd.errors import RequestError
from edgekd.photonic import clicks, differentiable, fock
from edgekd.photonic.circuit import Circuit, alternating

CASES = [
    Circuit((1, 0, 1, 0), (1, 1)),
    Circuit((1, 0, 1, 0), (1, 1), phases=True),
    Circuit((0, 2, 0, 1), (1, 2), phases=True),
]


@pytest.mark.parametrize("circuit", [*CASES, Circuit(alternating(10))])
def test_both_forms_agree(circuit):
    angles = np.random.default_rng(0).uniform(0, 6, (3, circuit.angles))
    unitary, given = circuit.unitary(angles), torch.from_numpy(angles)
    np.testing.assert_allclose(differentiable.unitary(circuit, given), unitary, atol=1e-14)
    np.testing.assert_allclose(differentiable.distribution(circuit, given), fock.distribution(unitary, circuit.photons),
                               atol=1e-14)  # fmt: skip
    for interleaved in (False, True):
        np.testing.assert_allclose(differentiable.features(circuit, given, interleaved),
                                   clicks.features(unitary, circuit.photons, interleaved), atol=1e-14)  # fmt: skip


@pytest.mark.parametrize("form", [differentiable.distribution, differentiable.features])
@pytest.mark.parametrize("circuit", CASES)
@pytest.mark.parametrize("still", [False, True])
def test_gradients_are_those_of_differences(form, circuit, still):
    """Also at angles of 0, where light goes nowhere but could."""
    angles = torch.zeros(circuit.angles) if still else torch.linspace(0.2, 2.9, circuit.angles)
    assert torch.autograd.gradcheck(lambda a: form(circuit, a), angles.double().requires_grad_())


def test_single_precision_stays_single():
    circuit = CASES[0]
    found = differentiable.distribution(circuit, torch.linspace(0.2, 2.9, circuit.angles))
    assert found.dtype == torch.float32
    assert abs(found.sum().item() - 1) < 1e-6


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: differentiable.distribution(CASES[0], torch.ones(5)), "the circuit has 6 angles"),
        (lambda: differentiable.features(CASES[0], torch.full((6,), torch.nan)), "not finite"),
        (lambda: differentiable.unitary(CASES[0], torch.ones(6, dtype=torch.int64)), r"torch\.int64 are no radians"),
        (lambda: differentiable.features(Circuit((1, 0, 1), (1,)), torch.ones(2)), "no two halves"),
        (lambda: differentiable.distribution(Circuit(alternating(20)), torch.ones(38), limit=2**28), "GiB are allowed"),
    ],
)
def test_wrong_requests_are_told(call, told):
    with pytest.raises(RequestError, match=told):
        call()
