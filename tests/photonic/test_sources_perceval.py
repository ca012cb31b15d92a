"""Perceval's word on the same circuits, where `edgekd fetch perceval` was called."""

import numpy as np
import pytest
from edgekd.errors import MissingError, RequestError
from edgekd.photonic import basis, clicks, fock
from edgekd.photonic.sources.registry import open_source
from edgekd.schema.photonic import find_photonic
from edgekd.toolchains.cache import is_fetched
from edgekd.toolchains.lock import find_lock

LOCK = find_lock("perceval")
fetched = pytest.mark.skipif(not is_fetched(LOCK), reason="Perceval was not fetched: edgekd fetch perceval")
CIRCUITS = [
    {"photons": (1, 0, 1, 0), "loops": (1, 1), "phases": False},
    {"photons": (2, 0, 1, 1, 0, 0), "loops": (1, 2), "phases": True},
    {"photons": (1, 0, 1, 0, 1, 0, 1, 0), "loops": (1, 3), "phases": True},
]


def device(**overrides):
    return find_photonic("photonic-tbi:perceval", overrides)


@pytest.fixture(scope="module")
def perceval():
    """One process for all circuits, since it takes seconds to start."""
    return open_source(device(circuit=CIRCUITS[0]))


@fetched
@pytest.mark.parametrize("number", range(len(CIRCUITS)))
def test_distributions_are_equal(perceval, number):
    perceval.circuit = open_source(find_photonic("photonic-tbi:simulator", {"circuit": CIRCUITS[number]})).circuit
    circuit, rng = perceval.circuit, np.random.default_rng(number)
    angles = rng.uniform(0, 2 * np.pi, circuit.angles)
    theirs = perceval.distribution(angles)
    unitary, table = circuit.unitary(angles), basis.states(circuit.modes, circuit.total)
    ours = fock.distribution(unitary, circuit.photons)
    assert len(table) >= len(theirs)  # Perceval may leave out what is never seen
    np.testing.assert_allclose([theirs.get(tuple(map(int, s)), 0.0) for s in table], ours, rtol=0, atol=1e-10)
    seen = np.zeros(2**circuit.modes)
    for state, p in theirs.items():
        seen[int("".join("01"[n > 0] for n in state), 2)] += p
    np.testing.assert_allclose(clicks.distribution(unitary, circuit.photons), seen, rtol=0, atol=1e-10)


@fetched
def test_its_samples_have_our_click_distribution(perceval):
    """Chi-square of 20,000 shots, bins of fewer than 5 expected ones put together: within 6 of its standard
    deviations sqrt(2 dof)."""
    perceval.circuit = open_source(find_photonic("photonic-tbi:simulator", {"circuit": CIRCUITS[1]})).circuit
    circuit, shots = perceval.circuit, 20_000
    angles = np.random.default_rng(5).uniform(0, 2 * np.pi, circuit.angles)
    found = perceval.sample(angles, shots, (1, 2))
    assert found.shape == (shots, circuit.modes)
    want = shots * clicks.distribution(circuit.unitary(angles), circuit.photons)
    got = np.bincount(clicks.patterns(found), minlength=len(want)).astype(float)
    rare = want < 5
    want, got = np.append(want[~rare], want[rare].sum()), np.append(got[~rare], got[rare].sum())
    want, got = want[want > 0], got[want > 0]
    chi2, dof = ((got - want) ** 2 / want).sum(), len(want) - 1
    assert dof > 5
    assert abs(chi2 - dof) < 6 * np.sqrt(2 * dof)
    features = perceval.features(angles, 100, (1,))
    assert features.reshape(2, -1).sum(1) == pytest.approx([1, 1])
    assert not np.array_equal(features, perceval.features(angles, 100, (2,)))


@fetched
def test_a_process_that_ended_is_told_and_another_begins(perceval):
    perceval.circuit = open_source(find_photonic("photonic-tbi:simulator", {"circuit": CIRCUITS[0]})).circuit
    angles = np.zeros(perceval.circuit.angles)
    with pytest.raises(MissingError, match="Perceval ends: ") as error:
        perceval._ask(angles, task="sample", shots="many", seed=1)
    assert "\n" not in error.value.message
    assert perceval.sample(angles, 2, (0,)).tolist() == [[True, False, True, False]] * 2


def test_it_is_named_where_it_was_not_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path))
    with pytest.raises(MissingError, match="`perceval` is not here") as error:
        open_source(device())
    assert error.value.hint == "edgekd fetch perceval"


def test_imperfections_are_not_passed_over():
    with pytest.raises(RequestError, match="ideal circuits alone"):
        open_source(device(imperfections={"efficiency": 0.9}))


def test_the_lock_tells_of_the_licence_and_has_wheels_of_both_machines():
    assert LOCK.proprietary
    assert "CC BY-NC-ND 4.0" in LOCK.licence
    wheels = {requirement.name: len(requirement.sha256) for requirement in LOCK.requirements}
    assert (wheels["exqalibur"], wheels["numpy"], wheels["perceval-quandela"]) == (6, 6, 1)  # Pythons by machines
