"""Sources by name, by file, and the controls."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from edgekd.errors import MissingError, ProblemsError, RequestError
from edgekd.photonic.base import ClickSource
from edgekd.photonic.circuit import Circuit, alternating
from edgekd.photonic.noise import Imperfections
from edgekd.photonic.simulator import Simulator
from edgekd.photonic.sources.controls import SPREAD
from edgekd.photonic.sources.registry import names, open_source
from edgekd.schema.photonic import find_photonic
from hypothesis import given, settings
from hypothesis import strategies as st

ANGLES = np.linspace(0, 3, 30)


def opened(source, **overrides):
    return open_source(find_photonic(f"photonic-tbi:{source}", overrides))


def test_the_list():
    assert {"simulator", "exact", "gaussian", "constant", "perceval", "orca-rest"} <= set(names())


def test_the_simulator_has_the_circuit_the_halves_and_the_imperfections_of_the_descriptor():
    flawed = {"efficiency": 0.7, "loop_loss": 0.1, "overlap": 0.9, "dark": 0.01}
    circuit = {"photons": (1, 0, 1, 1, 0, 0), "loops": (1, 2), "phases": True}
    device = find_photonic("photonic-tbi", {"circuit": circuit, "interleaved": True, "imperfections": flawed})
    source, angles = open_source(device), np.linspace(0, 3, 18)
    assert isinstance(source, ClickSource)
    by_hand = Simulator(Circuit((1, 0, 1, 1, 0, 0), (1, 2), True), Imperfections(**flawed), interleaved=True)
    assert np.array_equal(source.sample(angles, 50, (1, 2)), by_hand.sample(angles, 50, (1, 2)))
    assert np.array_equal(source.features(angles, 50, (1, 2)), by_hand.features(angles, 50, (1, 2)))
    limit = open_source(device.model_copy(update={"source": "exact"})).features(angles, 1, (0,))
    many = source.features(angles, 40_000, (3,))  # a share's standard deviation is at most 1 / (2 sqrt(shots))
    assert np.abs(many - limit).max() < 5 / (2 * np.sqrt(40_000))


def test_the_descriptor_has_the_imperfections_that_the_simulator_has():
    assert find_photonic("photonic-tbi").imperfections.plain() == asdict(Imperfections())


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 8), st.integers(0, 2**31), st.floats(0.1, 5))
def test_a_gaussian_has_the_mean_of_a_histogram_and_the_spread_it_is_given(half, seed, spread):
    circuit = {"photons": alternating(2 * half), "loops": (1,)}
    source = opened("gaussian", circuit=circuit, options={"gaussian": {"spread": spread}})
    halves = source.features(np.zeros(2 * half - 1), 200, (seed,)).reshape(2, -1)
    bins = 2**half
    np.testing.assert_allclose(halves.sum(1), 1)
    np.testing.assert_allclose((halves**2).sum(1), (1 + spread**2) / bins)


def test_a_gaussian_is_drawn_once_a_run_or_each_time():
    fixed, fresh = opened("gaussian"), opened("gaussian", options={"gaussian": {"fresh": True}})
    first = fixed.features(ANGLES, 200, (1, 2))
    assert np.array_equal(first, fixed.features(ANGLES + 1, 50, (1, 3)))
    assert not np.array_equal(first, fixed.features(ANGLES, 200, (2, 2)))
    assert not np.array_equal(fresh.features(ANGLES, 200, (1, 2)), fresh.features(ANGLES, 200, (1, 3)))
    assert np.array_equal(fresh.features(ANGLES, 200, (1, 2)), fresh.features(ANGLES, 200, (1, 2)))


def test_a_gaussian_is_normal():
    """Kurtosis of 512 values: 3, its standard deviation sqrt(24 / 512) = 0.22; skewness 0, sqrt(6 / 512) = 0.11."""
    x = opened("gaussian").features(ANGLES, 200, (0,)).reshape(2, -1)
    z = (x - x.mean()) / x.std()
    assert abs((z**4).mean() - 3) < 1
    assert abs((z**3).mean()) < 0.5


def test_the_default_spread_is_that_of_exact_features():
    """Over 20 settings: a half's spread differs by about 1 from one to the next, so 5 standard deviations are 0.8."""
    source, rng = opened("exact"), np.random.default_rng(1)
    halves = np.array([source.features(a, 1, (0,)).reshape(2, 256) for a in rng.uniform(0, 2 * np.pi, (20, 30))])
    spread = halves.std(-1) * 256
    assert abs(np.sqrt((spread**2).mean()) - SPREAD) < 5 / np.sqrt(spread.size)


def test_a_constant_is_a_histogram_without_information():
    source = opened("constant")
    assert np.array_equal(source.features(ANGLES, 1, (0,)), np.full(512, 1 / 256))
    assert not isinstance(source, ClickSource)


@pytest.mark.parametrize("source", ["gaussian", "constant"])
def test_controls_ask_for_the_same_angles(source):
    with pytest.raises(RequestError, match="30 angles"):
        opened(source).features(ANGLES[1:], 200, (0,))
    odd = opened(source, circuit={"photons": (1, 0, 1), "loops": (1,)})
    with pytest.raises(RequestError, match="no two halves"):
        odd.features(np.zeros(2), 200, (0,))
    wide = opened(source, circuit={"photons": (1, *(0,) * 79), "loops": (1,)})
    with pytest.raises(RequestError, match="two halves of 40 modes needs about"):
        wide.features(np.zeros(79), 200, (0,))


def test_exact_features_that_there_are_not_are_told_when_they_are_opened():
    for flaw, told in (({"jitter": 0.1}, "jitter or drift"), ({"drift": 0.1}, "jitter or drift")):
        with pytest.raises(RequestError, match=told):
            opened("exact", imperfections=flaw)


def test_wrong_names_and_options():
    with pytest.raises(RequestError, match="unknown source of features `gausian`") as error:
        opened("gausian")
    assert error.value.hint == "did you mean `gaussian`?"
    with pytest.raises(ProblemsError, match=r"options\.gaussian: spraed: unknown key"):
        opened("gaussian", options={"gaussian": {"spraed": 1}})
    with pytest.raises(ProblemsError, match=r"options\.constant: fresh: unknown key"):
        opened("constant", options={"constant": {"fresh": True}})


OWN = """
import numpy as np
from edgekd.photonic.sources.controls import SPREAD
from edgekd.photonic.sources.registry import circuit_of

class Lab:
    def __init__(self, device, options):
        self.circuit = circuit_of(device)

    def features(self, angles, shots, seed):
        return np.full(512, shots)

class Nothing:
    pass
"""


def test_a_source_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lab.py").write_text(OWN)
    (tmp_path / "bad.py").write_text("1 / 0")
    assert opened("lab.py:Lab").features(ANGLES, 7, (0,))[0] == 7
    for name in ("lab.py:Laboratory", "lab.py:Nothing", "lab.py"):
        with pytest.raises(RequestError, match="with `features`"):
            opened(name)
    with pytest.raises(MissingError, match=r"`gone\.py` does not exist"):
        opened("gone.py:Lab")
    with pytest.raises(RequestError, match=r"`bad\.py` does not load: division by zero"):
        opened("bad.py:Lab")


def test_the_source_that_the_documents_show(tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "photonic.md").read_text(encoding="utf-8")
    (tmp_path / "lab.py").write_text(page.split("```python\n")[1].split("```")[0])
    monkeypatch.chdir(tmp_path)
    source = opened("lab.py:Lab")
    assert isinstance(source, ClickSource)
    assert source.features(ANGLES, 100, (0,)).reshape(2, -1).sum(1) == pytest.approx([1, 1])
