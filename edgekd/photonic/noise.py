"""Imperfections of a time-bin interferometer: exact click distributions where there are some, samples always."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import product
from math import comb, prod

import numpy as np
from numpy.typing import ArrayLike

from edgekd.errors import Problem, ProblemsError, RequestError
from edgekd.photonic.base import Clicks
from edgekd.photonic.basis import Counts, Ints, count
from edgekd.photonic.circuit import Circuit, Floats, Unitary
from edgekd.photonic.clicks import halves_order, side_clicks
from edgekd.photonic.fock import ALWAYS, allow, completed, estimate
from edgekd.photonic.halves import split
from edgekd.photonic.sampling import checked_shots, markov
from edgekd.photonic.sampling import sample as sample_fock
from edgekd.photonic.timeline import live
from edgekd.photonic.timeline import sample as sample_timeline

MIXTURES = 1 << 12
"""Choices of distinguishable photons up to which an exact distribution is offered."""


@dataclass(frozen=True)
class Imperfections:
    """What a device does that the ideal circuit does not; nothing by default. Raises ProblemsError for what cannot be.

    Distinguishable photons are "orthogonal bad bits" (C. Sparrow, thesis, Imperial College London, 2017): a photon is
    in the state that all share with probability sqrt(`overlap`), else in a state of its own, which meets nobody.
    """

    loop_loss: float = 0.0
    """Probability of a photon to be lost in one round trip of a loop (`Circuit.transfer`)."""
    efficiency: float = 1.0
    """Probability of a photon to be seen by its detector."""
    overlap: float = 1.0
    """Mean overlap of two photons' states, the visibility of their Hong-Ou-Mandel dip."""
    dark: float = 0.0
    """Probability of a detector to click in a shot without light."""
    jitter: float = 0.0
    """Standard deviation, in radians, of each angle; drawn anew every `hold` shots. Ours."""
    drift: float = 0.0
    """Standard deviation, in radians, of the steps of a random walk of each angle, one every `hold` shots. Ours."""
    hold: int = 100
    """Shots for which angles stand still."""

    def __post_init__(self) -> None:
        numbers = {field.name: getattr(self, field.name) for field in fields(self)}
        chances = ("loop_loss", "efficiency", "overlap", "dark")
        wrong = [f"`{k}` is {numbers[k]}, a probability is 0 to 1" for k in chances if not 0 <= numbers[k] <= 1]
        wrong += [f"`{k}` is {numbers[k]}, a deviation is 0 or more radians" for k in ("jitter", "drift")
                  if not 0 <= numbers[k] < np.inf]  # fmt: skip
        wrong += [f"`hold` is {self.hold}, at least one shot is needed"] if self.hold < 1 else []
        if wrong:
            raise ProblemsError([Problem("imperfections", message) for message in wrong])

    @property
    def steady(self) -> bool:
        """Whether the angles are what was asked for."""
        return not self.jitter and not self.drift


NONE = Imperfections()


def sample(
    circuit: Circuit, angles: ArrayLike, shots: int, rng: np.random.Generator, imperfections: Imperfections = NONE
) -> Clicks:
    """(shots, modes): clicks of `shots` runs, one after the other. Raises RequestError for a wrong request."""
    given = _one(circuit, angles)
    settings = _settings(given, checked_shots(shots, circuit.modes), rng, imperfections)
    light = np.concatenate([_photons(circuit, now, some, rng, imperfections) for now, some in settings])
    if imperfections.efficiency < 1:
        light = rng.binomial(light, imperfections.efficiency)
    clicks: Clicks = light > 0
    if imperfections.dark:
        clicks |= rng.random(clicks.shape) < imperfections.dark
    return clicks


def _one(circuit: Circuit, angles: ArrayLike) -> Floats:
    given = circuit.checked(angles)
    if given.ndim != 1:
        raise RequestError(f"one setting is taken at a time, {list(given.shape)} was given", "call once a setting")
    return given


def _settings(
    angles: Floats, shots: int, rng: np.random.Generator, noise: Imperfections
) -> Iterator[tuple[Floats, int]]:
    """The angles as they are, and for how many shots."""
    if noise.steady:
        yield angles, shots
        return
    walk = np.zeros(angles.shape)
    for start in range(0, shots, noise.hold):
        yield angles + walk + rng.normal(0, noise.jitter, angles.shape), min(noise.hold, shots - start)
        walk = walk + rng.normal(0, noise.drift, angles.shape)


def _photons(circuit: Circuit, angles: Floats, shots: int, rng: np.random.Generator, noise: Imperfections) -> Counts:
    """Photon numbers before the detectors: those of the photons alike, and each other one on its own."""
    inputs = np.tile(np.array(circuit.photons, np.int8), (shots, 1))
    if noise.overlap == 1:
        return _alike(circuit, angles, inputs, rng, noise.loop_loss, same=True)
    alike = rng.binomial(inputs, np.sqrt(noise.overlap)).astype(np.int8)
    out = _alike(circuit, angles, alike, rng, noise.loop_loss, same=False)
    for mode, where in enumerate((np.abs(circuit.transfer(angles, noise.loop_loss)) ** 2).T):
        chances = np.append(where, max(0.0, 1 - where.sum()))
        out += rng.multinomial(inputs[:, mode] - alike[:, mode], chances / chances.sum())[:, :-1].astype(np.int8)
    return out


def _alike(
    circuit: Circuit, angles: Floats, inputs: Counts, rng: np.random.Generator, loss: float, same: bool
) -> Counts:
    """Photon numbers of photons that are alike; `same` where every shot has one input.

    All ways are exact: a walk where there is one loop of length 1, both halves of the modes where they are small or
    smaller than the light in the loops, else bin by bin.
    """
    if circuit.loops == (1,):
        return markov(circuit, angles, inputs, rng, loss)
    if same and not loss:
        unitary = circuit.unitary(angles)
        sides = estimate(split(unitary, circuit.photons, circuit.modes // 2), 1, unitary.itemsize, 0)
        if sides <= max(ALWAYS, 16 * len(inputs) * count(live(circuit), circuit.total)):
            return sample_fock(unitary, circuit.photons, len(inputs), rng)
    return sample_timeline(circuit, angles, inputs, rng, loss)


def features(
    circuit: Circuit, angles: ArrayLike, imperfections: Imperfections = NONE, interleaved: bool = False
) -> Floats:
    """(2 * 2^(modes / 2),): the click histogram of infinitely many shots of one setting.

    Raises RequestError for a wrong request, angles that are not steady, or too many mixtures.
    """
    order, half = halves_order(circuit.modes, interleaved), circuit.modes // 2
    return np.concatenate([_exact(circuit, angles, imperfections, modes) for modes in (order[:half], order[half:])])


def distribution(circuit: Circuit, angles: ArrayLike, imperfections: Imperfections = NONE) -> Floats:
    """(2^modes,): the click distribution of one setting. Raises RequestError as `features` does."""
    return _exact(circuit, angles, imperfections, np.arange(circuit.modes))


def _exact(circuit: Circuit, angles: ArrayLike, noise: Imperfections, modes: Ints) -> Floats:
    """(2^len(modes),): the click distribution of some output modes.

    For each set Z of modes: the probability that none outside of Z clicks, a product over what is independent.
    """
    refuse(circuit, noise)
    rows = np.sqrt(noise.efficiency) * circuit.transfer(_one(circuit, angles), noise.loop_loss)[modes]
    allow(subsets_bytes(circuit, len(modes)), f"the click distribution of {len(modes)} modes")
    lit = np.arange(1 << len(modes))[:, None] >> np.arange(len(modes))[::-1] & 1
    alone = lit @ np.abs(rows) ** 2 + 1 - (np.abs(rows) ** 2).sum(0)
    within = np.zeros(len(lit))
    for alike, chance in _mixture(circuit.photons, noise.overlap):
        others = np.array(circuit.photons) - alike
        within += chance * _subsets(_clicks(rows, alike), 1) * (alone**others).prod(1)
    return np.maximum(_subsets(within * (1 - noise.dark) ** (len(modes) - lit.sum(1)), -1), 0)


def subsets_bytes(circuit: Circuit, modes: int) -> int:
    """Bytes for all subsets of some output modes: which they hold, and twice the light of each input that they see."""
    return (8 * modes + 16 * circuit.modes + 64) << modes


def refuse(circuit: Circuit, noise: Imperfections) -> None:
    """Raises RequestError for what has no exact distribution."""
    if not noise.steady:
        raise RequestError("angles that jitter or drift have no exact distribution", "sample, or leave them out")
    if noise.overlap < 1 and prod(n + 1 for n in circuit.photons) > MIXTURES:
        raise RequestError(
            f"{circuit.total} photons that differ are too many mixtures for an exact distribution", "sample"
        )


def _mixture(photons: tuple[int, ...], overlap: float) -> Iterator[tuple[tuple[int, ...], float]]:
    """How many photons of each mode are alike, and how probably."""
    good = float(np.sqrt(overlap))
    for alike in product(*(range(n + 1) for n in photons)) if overlap < 1 else [photons]:
        chance = prod(comb(n, k) * good**k * (1 - good) ** (n - k) for n, k in zip(photons, alike, strict=True))
        if chance:
            yield alike, chance


def _clicks(rows: Unitary, photons: tuple[int, ...]) -> Floats:
    """(2^modes,): the click distribution of photons that are alike behind `rows` (modes, modes in)."""
    return side_clicks(completed(rows, photons, f"{sum(photons)} photons with losses"), right=False)


def _subsets(values: Floats, sign: int) -> Floats:
    """Over sets as bits: the sums over all subsets, or with sign -1 what they are the sums of."""
    out = values.copy()
    for bit in range(len(values).bit_length() - 1):
        pairs = out.reshape(-1, 2, 1 << bit)
        pairs[:, 1] += sign * pairs[:, 0]
    return out
