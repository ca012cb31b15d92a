"""Seeded samples of photon numbers, without the distribution of the whole."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from edgekd.errors import RequestError
from edgekd.photonic.basis import Counts, Ints, states
from edgekd.photonic.circuit import Circuit, Floats
from edgekd.photonic.fock import checked, prepared
from edgekd.photonic.halves import ROWS, Halves, squared


def checked_shots(shots: int) -> int:
    """Raises RequestError for less than one."""
    if shots < 1:
        raise RequestError(f"{shots} shots were asked for", "take at least one")
    return shots


def sample(
    unitary: ArrayLike, photons: tuple[int, ...], shots: int, rng: np.random.Generator, limit: int | None = None
) -> Counts:
    """(shots, modes): photon numbers of independent runs of `unitary` (modes, modes).

    The states of the left half come from their exact distribution, those of the right half from their exact one given
    the left: as many rows of the whole distribution as there are different left states among the shots. Raises
    RequestError as `fock.distribution` does, and for less than one shot.
    """
    given = checked(unitary, photons)
    if given.ndim != 2:
        raise RequestError(f"one matrix is sampled at a time, {list(given.shape)} was given", "call once a matrix")
    return sample_halves(prepared(given, photons, 0, "the sampler", limit), checked_shots(shots), rng)


def sample_halves(both: Halves, shots: int, rng: np.random.Generator) -> Counts:
    """(shots, modes) from both sides of one circuit."""
    left, right = both.split.modes
    tables = both.marginals()
    drawn = _draw(np.concatenate(tables), rng.random(shots))
    ends = np.cumsum([len(table) for table in tables])
    out = np.zeros((shots, left + right), np.int8)
    for level in both.split.levels:
        mine = np.nonzero((drawn < ends[level]) & (drawn >= ends[level] - len(tables[level])))[0]
        row = drawn[mine] - (ends[level] - len(tables[level]))
        n, k = both.split.photons(level)
        out[mine, :left] = states(left, n)[row]
        out[mine, left:] = states(right, k)[_right(both.left[level], both.right[level], row, rng)]
    return out


def _right(left: Floats, right: Floats, rows: Ints, rng: np.random.Generator) -> Ints:
    """For each of `rows`, states of the left side, a state of the right side given it."""
    known, which = np.unique(rows, return_inverse=True)
    out, step = np.zeros(len(rows), np.int64), max(1, ROWS // right.shape[-1])
    for start in range(0, len(known), step):
        here = np.nonzero((which >= start) & (which < start + step))[0]
        table = squared(left[:, known[start : start + step]].T @ right)
        out[here] = _draw_rows(table, which[here] - start, rng.random(len(here)))
    return out


def _draw(table: Floats, uniform: Floats) -> Ints:
    """Indices by the weights `table`."""
    return _draw_rows(table[None], np.zeros(len(uniform), np.int64), uniform)


def _draw_rows(tables: Floats, rows: Ints, uniform: Floats) -> Ints:
    """For each of `rows` an index by the weights of that row: one search in the running sum of all of them."""
    ends = np.cumsum(tables.ravel())
    width = tables.shape[1]
    last = ends[width - 1 :: width]
    first = np.concatenate([[0.0], last[:-1]])
    found = np.searchsorted(ends, first[rows] + uniform * (last - first)[rows], "right")
    return np.clip(found - rows * width, 0, width - 1)
