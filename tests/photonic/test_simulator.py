"""The simulator as a source: it keeps the contract, whichever way it draws."""

import numpy as np
import pytest
from edgekd.errors import RequestError
from edgekd.photonic import clicks
from edgekd.photonic.base import ClickSource
from edgekd.photonic.circuit import Circuit, alternating
from edgekd.photonic.noise import Imperfections
from edgekd.photonic.simulator import Exact, Simulator

ANGLES = np.linspace(0.2, 2.9, 14)
IMPERFECT = Imperfections(loop_loss=0.05, efficiency=0.9, overlap=0.9, dark=0.01, jitter=0.02, drift=0.01)
TWO_LOOPS = Circuit(alternating(8))
ONE_LOOP = Circuit(alternating(16), (1,))


def angles_of(circuit: Circuit) -> np.ndarray:
    return np.linspace(0.2, 2.9, circuit.angles)


@pytest.mark.parametrize("imperfections", [Imperfections(), IMPERFECT])
@pytest.mark.parametrize("circuit", [TWO_LOOPS, ONE_LOOP, Circuit(alternating(32))])
def test_shots_and_histograms_belong_together(circuit, imperfections):
    source = Simulator(circuit, imperfections)
    shots = source.sample(angles_of(circuit), 150, (1, 2))
    assert isinstance(source, ClickSource)
    assert shots.dtype == bool
    assert shots.shape == (150, circuit.modes)
    if circuit.modes <= 16:
        found = source.features(angles_of(circuit), 150, (1, 2))
        np.testing.assert_array_equal(found, clicks.histogram(shots))
    assert (shots != source.sample(angles_of(circuit), 150, (1, 3))).any()


@pytest.mark.parametrize("imperfections", [Imperfections(), Imperfections(loop_loss=0.1, dark=0.02)])
@pytest.mark.parametrize("circuit", [TWO_LOOPS, ONE_LOOP])
def test_many_shots_approach_the_exact_source(circuit, imperfections):
    """E |phi_S - phi|^2 <= 2 / S; nine times that would be a rare run."""
    exact, source = Exact(circuit, imperfections), Simulator(circuit, imperfections)
    found = exact.features(angles_of(circuit), 1, (0,))
    np.testing.assert_allclose([found[: len(found) // 2].sum(), found.sum()], [1, 2], atol=1e-12)
    assert ((source.features(angles_of(circuit), 20_000, (0,)) - found) ** 2).sum() < 18 / 20_000


def test_an_exact_source_gives_out_no_shots():
    assert not isinstance(Exact(TWO_LOOPS), ClickSource)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda s: s.sample(angles_of(TWO_LOOPS), 0, (1,)), "0 shots"),
        (lambda s: s.sample(np.ones(3), 5, (1,)), "the circuit has 14 angles"),
        (lambda s: s.features(angles_of(TWO_LOOPS), 5, ()), r"seed \[\] is none"),
        (lambda s: s.features(angles_of(TWO_LOOPS), 5, (-1,)), r"seed \[-1\] is none"),
    ],
)
def test_wrong_requests_are_told(call, told):
    with pytest.raises(RequestError, match=told):
        call(Simulator(TWO_LOOPS))
