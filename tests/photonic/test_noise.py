"""Each imperfection, and all together, against explicit environment modes, inner states and coins."""

import tracemalloc
from functools import reduce
from itertools import product

import numpy as np
import pytest
from edgekd.errors import EdgekdError, RequestError
from edgekd.photonic import clicks, noise, sampling
from edgekd.photonic.circuit import Circuit, alternating
from edgekd.photonic.noise import Imperfections

from tests.photonic import brute

ALL = Imperfections(loop_loss=0.2, efficiency=0.7, overlap=0.6, dark=0.1)
EACH = [
    Imperfections(),
    Imperfections(loop_loss=0.2),
    Imperfections(efficiency=0.6),
    Imperfections(overlap=0.5),
    Imperfections(overlap=0.0),
    Imperfections(dark=0.15),
    Imperfections(loop_loss=1.0, dark=0.3),
]
CASES = [
    *((Circuit((1, 0, 1, 0), (1,)), one) for one in (*EACH, ALL)),
    *((Circuit((1, 1, 1), (1, 1), phases=True), one) for one in (*EACH, ALL)),
    *((Circuit((0, 2, 1, 0), (1, 2)), one) for one in EACH),
]
NAMES = [f"{''.join(map(str, c.photons))}-{c.loops}-{i}" for i, (c, _) in enumerate(CASES)]


def angles_of(circuit: Circuit) -> np.ndarray:
    return np.random.default_rng(7).uniform(0.3, 2.8, circuit.angles)


def with_environment(circuit: Circuit, angles: np.ndarray, loop_loss: float, efficiency: float) -> np.ndarray:
    """Columns of the unitary in which each round trip and each detector has a mode of its own to lose light to."""
    rows = list(np.eye(circuit.modes, dtype=complex))

    def lose(mode: int, chance: float) -> None:
        rows.append(np.sqrt(chance) * rows[mode])
        rows[mode] = np.sqrt(1 - chance) * rows[mode]

    i = 0
    for length in circuit.loops:
        for mode in range(circuit.modes):
            lose(mode, loop_loss)
            if mode + length < circuit.modes:
                turn = np.exp(1j * angles[circuit.splitters + i]) if circuit.phases else 1
                c, s, a, b = np.cos(angles[i]), np.sin(angles[i]), turn * rows[mode], rows[mode + length]
                rows[mode], rows[mode + length] = c * a + s * b, c * b - s * a
                i += 1
    for mode in range(circuit.modes):
        lose(mode, 1 - efficiency)
    return np.array(rows)


def either(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Clicks of two lights that do not know of each other."""
    out = np.zeros_like(one)
    for (i, p), (j, q) in product(enumerate(one), enumerate(other)):
        out[i | j] += p * q
    return out


def light(circuit: Circuit, imperfections: Imperfections, columns: list[int]) -> np.ndarray:
    """Click distribution of photons that are alike, put into `columns`."""
    matrix = with_environment(circuit, angles_of(circuit), imperfections.loop_loss, imperfections.efficiency)
    photons = tuple(columns.count(i) for i in range(circuit.modes))
    return brute.clicks(brute.distribution(matrix, photons), circuit.modes)


def expected(circuit: Circuit, imperfections: Imperfections) -> np.ndarray:
    """(2^modes,): the click distribution by enumeration of everything."""
    columns, good = np.repeat(np.arange(circuit.modes), circuit.photons).tolist(), imperfections.overlap**0.5
    alone = [light(circuit, imperfections, [column]) for column in range(circuit.modes)]
    seen = np.zeros(1 << circuit.modes)
    for alike in product([True, False], repeat=circuit.total):
        chance = np.prod([good if same else 1 - good for same in alike])
        if chance:
            shared = light(circuit, imperfections, [c for c, same in zip(columns, alike, strict=True) if same])
            others = [alone[c] for c, same in zip(columns, alike, strict=True) if not same]
            seen += chance * reduce(either, others, shared)
    n = [bin(i).count("1") for i in range(len(seen))]
    dark = [imperfections.dark**k * (1 - imperfections.dark) ** (circuit.modes - k) for k in n]
    return either(seen, np.array(dark))


@pytest.mark.parametrize(("circuit", "imperfections"), CASES, ids=NAMES)
def test_exact_clicks_are_those_of_enumeration(circuit, imperfections):
    found = noise.distribution(circuit, angles_of(circuit), imperfections)
    np.testing.assert_allclose(found, expected(circuit, imperfections), atol=1e-12)
    if circuit.modes % 2 == 0:
        for interleaved in (False, True):
            some = noise.features(circuit, angles_of(circuit), imperfections, interleaved)
            np.testing.assert_allclose(some, brute.halves(found, circuit.modes, interleaved), atol=1e-12)


@pytest.mark.parametrize(("circuit", "imperfections"), CASES, ids=NAMES)
def test_samples_follow_them(circuit, imperfections):
    """Chi-square at level 1e-5."""
    shots = noise.sample(circuit, angles_of(circuit), 20_000, np.random.default_rng(11), imperfections)
    counts = np.bincount(clicks.patterns(shots), minlength=1 << circuit.modes)
    assert brute.chi_square_holds(counts, noise.distribution(circuit, angles_of(circuit), imperfections))


@pytest.mark.parametrize("overlap", [0.0, 0.3, 1.0])
def test_the_dip_of_two_photons_is_as_deep_as_they_overlap(overlap):
    found = noise.distribution(Circuit((1, 1), (1,)), [np.pi / 4], Imperfections(overlap=overlap))
    assert abs(found[3] - (1 - overlap) / 2) < 1e-14


def test_nothing_imperfect_is_the_ideal_circuit():
    circuit = Circuit(alternating(8))
    ideal = clicks.features(circuit.unitary(angles_of(circuit)), circuit.photons)
    np.testing.assert_allclose(noise.features(circuit, angles_of(circuit)), ideal, atol=1e-13)


def test_jitter_averages_over_angles():
    """One photon, one beam splitter: E cos(t + e)^2 = 1/2 + cos(2 t) exp(-2 sd^2) / 2, within five deviations."""
    circuit, blocks = Circuit((1, 0), (1,)), 3000
    shots = noise.sample(circuit, [0.4], blocks, np.random.default_rng(0), Imperfections(jitter=0.5, hold=1))
    chance = 0.5 + np.cos(0.8) * np.exp(-2 * 0.25) / 2
    assert abs(shots[:, 0].mean() - chance) < 5 * np.sqrt(chance * (1 - chance) / blocks)


def test_drift_starts_at_nothing_and_grows():
    """A photon that stays at angle 0 changes bins after k steps of deviation s with chance (1 - exp(-2 s^2 k)) / 2."""
    circuit, steps, runs = Circuit((1, 0), (1,)), 20, 300
    wander = Imperfections(drift=0.1, hold=1)
    rngs = [np.random.default_rng((1, run)) for run in range(runs)]
    left = np.mean([noise.sample(circuit, [0.0], steps, rng, wander)[:, 1] for rng in rngs], 0)
    chance = (1 - np.exp(-2 * 0.01 * np.arange(steps))) / 2
    assert left[0] == 0
    assert (np.abs(left - chance) <= 5 * np.sqrt(chance * (1 - chance) / runs)).all()


def test_wrong_imperfections_are_told_together():
    with pytest.raises(EdgekdError) as caught:
        Imperfections(loop_loss=1.5, overlap=-1, jitter=float("nan"), hold=0)
    assert [p.message.split("`")[1] for p in caught.value.problems] == ["loop_loss", "overlap", "jitter", "hold"]


@pytest.mark.parametrize(
    ("circuit", "imperfections", "told"),
    [
        (Circuit((1, 0), (1,)), Imperfections(jitter=0.1), "have no exact distribution"),
        (Circuit((1,) * 14, (1,)), Imperfections(overlap=0.9), "14 photons that differ are too many mixtures"),
        (Circuit((1, 0, 0), (1,)), Imperfections(), "3 modes have no two halves"),
        (Circuit((1, *(0,) * 79), (1,)), Imperfections(), r"the click distribution of 40 modes needs about \d"),
    ],
)
def test_what_has_no_exact_histogram_is_told(circuit, imperfections, told):
    with pytest.raises(RequestError, match=told):
        noise.features(circuit, angles_of(circuit), imperfections)


@pytest.mark.parametrize("modes", [12, 16])
def test_the_estimate_is_kept(modes):
    """Of a whole distribution, and of half the modes as features take it."""
    circuit = Circuit((1, 0, 1, *(0,) * 13), (1,))
    for _ in range(2):  # tables are kept from the first call
        tracemalloc.start()
        noise._exact(circuit, angles_of(circuit), Imperfections(overlap=0.5, efficiency=0.9), np.arange(modes))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < noise.subsets_bytes(circuit, modes) < 3 * peak


@pytest.mark.parametrize("loops", [(1,), (1, 1)])
@pytest.mark.parametrize("imperfections", [Imperfections(), ALL])
def test_shots_take_no_more_than_is_estimated(loops, imperfections):
    circuit, shots = Circuit(alternating(16), loops), 100_000
    tracemalloc.start()
    noise.sample(circuit, angles_of(circuit), shots, np.random.default_rng(0), imperfections)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < sampling.SHOT * shots * 16


def test_one_setting_at_a_time():
    with pytest.raises(RequestError, match=r"one setting is taken at a time, \[2, 1\] was given"):
        noise.sample(Circuit((1, 0), (1,)), np.ones((2, 1)), 5, np.random.default_rng(0))
