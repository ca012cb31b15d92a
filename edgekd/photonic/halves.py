"""Amplitudes of a linear interferometer, met in the middle: two halves of its modes, joined by matrix products.

n photons in modes j make the polynomial prod_j (sum_i U[i, j] x_i)^n_j of the output modes' creation operators; the
coefficient of a monomial, times sqrt(prod s! / prod n!), is the amplitude of the state s. Adding photon by photon is
Heurtel et al., "Strong simulation of linear optical processes", arXiv:2206.10549. Ours is the middle: a coefficient of
the whole is the sum, over the photons T that leave by the left half of the modes, of a coefficient of T on the left and
one of the others on the right, so a block of states is a matrix product, and only the halves need tables. Photons whose
column of U is zero on a side have no choice, which a time-bin interferometer, where light hardly runs ahead, gains by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, reduce
from math import comb, factorial, prod
from operator import iadd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.photonic.basis import growth, states
from edgekd.photonic.circuit import Floats, Unitary

Take = Callable[[Any, Any, int], Any]
"""(array, indices, axis) -> array, of numpy or torch."""
ROWS = 1 << 17
"""Numbers in a block that is streamed."""


@dataclass(frozen=True)
class Shares:
    """Every choice of some of the free photons, by how many they are; the rows of a level keep their order."""

    added: tuple[NDArray[np.int64], ...]
    """For each level from 1: the mode of the photon that joined."""
    parents: tuple[NDArray[np.int64], ...]
    """For each level from 1: the row, a level before, that it joined."""
    others: tuple[NDArray[np.int64], ...]
    """For each level from 0: the row, in its level, of the photons that were not chosen."""
    ways: tuple[Floats, ...]
    """For each level from 0: in how many ways equal photons make the choice."""


@lru_cache(maxsize=64)
def shares(free: tuple[int, ...]) -> Shares:
    """Choices among `free` photons by mode."""
    levels: list[list[tuple[int, ...]]] = [[tuple(0 for _ in free)]]
    added, parents = [], []
    for _ in range(sum(free)):
        grown = [
            (row, j, (*chosen[:j], chosen[j] + 1, *chosen[j + 1 :]))
            for row, chosen in enumerate(levels[-1])
            for j in range(max((j for j, c in enumerate(chosen) if c), default=0), len(free))
            if chosen[j] < free[j]
        ]
        levels.append([chosen for _, _, chosen in grown])
        parents.append(np.array([row for row, _, _ in grown]))
        added.append(np.array([j for _, j, _ in grown]))
    rows = [{chosen: row for row, chosen in enumerate(level)} for level in levels]
    rest = [[tuple(f - c for f, c in zip(free, chosen, strict=True)) for chosen in level] for level in levels]
    others = [np.array([rows[-1 - p][other] for other in level]) for p, level in enumerate(rest)]
    ways = [np.array([float(prod(map(comb, free, chosen))) for chosen in level]) for level in levels]
    return Shares(tuple(added), tuple(parents), tuple(others), tuple(ways))


def sizes(free: tuple[int, ...]) -> list[int]:
    """How many choices there are by level, without making them."""
    out = [1]
    for most in free:
        out = [sum(out[max(0, p - most) : p + 1]) for p in range(len(out))] + [
            sum(out[max(0, p - most) :]) for p in range(len(out), len(out) + most)
        ]
    return out


@dataclass(frozen=True)
class Split:
    """Where the modes are cut, and which photons, by mode, must go left, must go right, or may do either."""

    modes: tuple[int, int]
    """Left and right of the cut."""
    left: tuple[int, ...]
    right: tuple[int, ...]
    free: tuple[int, ...]

    def photons(self, level: int) -> tuple[int, int]:
        """Left and right of the cut when `level` of the free photons go left."""
        return sum(self.left) + level, sum(self.right) + sum(self.free) - level

    @property
    def levels(self) -> range:
        """0 .. number of free photons."""
        return range(sum(self.free) + 1)


def split(matrix: Unitary, photons: tuple[int, ...], cut: int) -> Split:
    """How the rows of `matrix` (..., modes out, modes in) are cut: a photon goes where its column is not zero."""
    reach = (matrix != 0).reshape(-1, *matrix.shape[-2:]).any(0)
    counts, left, right = np.array(photons), reach[:cut].any(0), reach[cut:].any(0)
    forced, bound, free = ((counts * mask).tolist() for mask in (left & ~right, right & ~left, left == right))
    return Split((cut, len(reach) - cut), tuple(forced), tuple(bound), tuple(free))


def polynomials(
    forms: Any, one: Any, given: tuple[int, ...], free: tuple[int, ...], modes: int, take: Take
) -> list[Any]:
    """By level: (..., choices, states) coefficients of the products of linear forms, of `given` and chosen photons.

    `forms` (..., photon's mode, modes + 1) ends in a zero; `one` is (..., 1, 1).
    """
    poly, photons = one, 0
    for j in (j for j, n in enumerate(given) for _ in range(n)):
        photons += 1
        poly = _times(poly, take(forms, np.array([j]), -2), modes, photons, take)
    out, choice = [poly], shares(free)
    for parents, added in zip(choice.parents, choice.added, strict=True):
        photons += 1
        poly = _times(take(poly, parents, -2), take(forms, added, -2), modes, photons, take)
        out.append(poly)
    return out


def _times(poly: Any, forms: Any, modes: int, photons: int, take: Take) -> Any:
    """The product of polynomials of degree `photons` - 1 with as many linear forms."""
    columns, sources = growth(modes, photons)
    return reduce(iadd, (take(forms, c, -1) * take(poly, s, -1) for c, s in zip(columns, sources, strict=True)))


@lru_cache(maxsize=256)
def root_factorials(modes: int, photons: int) -> Floats:
    """(states,): sqrt(prod s!)."""
    roots = np.sqrt([float(factorial(n)) for n in range(photons + 1)])
    return np.asarray(roots[states(modes, photons)].prod(1))


@lru_cache(maxsize=256)
def weights(cut: Split, photons: tuple[int, ...], level: int) -> tuple[Floats, Floats]:
    """What polynomials are multiplied by so that their products are amplitudes: (choices, states), (states,)."""
    (left, right), (n, k) = cut.modes, cut.photons(level)
    norm = prod(factorial(n) for n in photons) ** -0.5
    return norm * shares(cut.free).ways[level][:, None] * root_factorials(left, n), root_factorials(right, k)


@dataclass(frozen=True)
class Halves:
    """Both sides of a cut: the amplitude of (s, s') is sum over T of left[T, s] right[T, s']."""

    split: Split
    left: list[Unitary]
    """By level: (..., choices, states of the left modes)."""
    right: list[Unitary]
    """By level: (..., choices, states of the right modes)."""

    def blocks(self) -> Iterator[tuple[int, slice, Floats]]:
        """(level, rows, (..., rows, states right)): probabilities, a bounded number of them at a time."""
        for level, (left, right) in enumerate(zip(self.left, self.right, strict=True)):
            step = max(1, ROWS // (right.shape[-1] * prod(right.shape[:-2]) or 1))
            for start in range(0, left.shape[-1], step):
                rows = slice(start, start + step)
                yield level, rows, squared(left[..., rows].swapaxes(-1, -2) @ right)

    def marginals(self, right: bool = False) -> list[Floats]:
        """By level: (..., states), the probability of each state of one side, whatever the other does.

        The other side enters by the scalar products of its polynomials: none of its states are run through.
        """
        sides = (self.right, self.left) if right else (self.left, self.right)
        return [_norms(mine, other) for mine, other in zip(*sides, strict=True)]


def _norms(mine: Unitary, other: Unitary) -> Floats:
    products = other.conj() @ other.swapaxes(-1, -2)
    return np.asarray(np.maximum((mine.conj() * (products @ mine)).sum(-2).real, 0))


def squared(amplitudes: Unitary) -> Floats:
    """|a|^2, in place where they are real."""
    if np.iscomplexobj(amplitudes):
        return np.asarray(amplitudes.real**2 + amplitudes.imag**2)
    return np.square(amplitudes, out=amplitudes)


def take(array: Any, indices: NDArray[np.integer], axis: int) -> Any:
    """numpy's."""
    return np.take(array, indices, axis)


def halves(matrix: Unitary, photons: tuple[int, ...], where: Split) -> Halves:
    """Both sides of `matrix` (..., modes out, modes in), whose columns are orthonormal; unchecked."""
    forms, cut = matrix.swapaxes(-1, -2), where.modes[0]
    none = np.zeros((*forms.shape[:-1], 1), matrix.dtype)
    one = np.ones((*matrix.shape[:-2], 1, 1), matrix.dtype)
    sides = [
        polynomials(np.concatenate([part, none], -1), one, given, where.free, part.shape[-1], take)
        for part, given in ((forms[..., :cut], where.left), (forms[..., cut:], where.right))
    ]
    left, right = sides[0], [sides[1][-1 - p][..., o, :] for p, o in enumerate(shares(where.free).others)]
    for level in where.levels:
        first, second = weights(where, photons, level)
        left[level] *= first
        right[level] *= second
    return Halves(where, left, right)
