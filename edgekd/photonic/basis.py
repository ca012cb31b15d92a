"""Photon-number states of n photons in m modes, in lexicographic order: (n, 0, ..) first, (.., 0, n) last."""

from __future__ import annotations

from functools import cache, lru_cache
from math import comb

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Counts = NDArray[np.int8]
"""(states, modes): photons in each mode."""


def count(modes: int, photons: int) -> int:
    """How many states there are: C(modes + photons - 1, photons)."""
    return comb(modes + photons - 1, photons) if modes else int(photons == 0)


@lru_cache(maxsize=64)
def states(modes: int, photons: int) -> Counts:
    """(count(modes, photons), modes): every state, at most 127 photons; read-only."""
    tables = [np.zeros((int(n == 0), 0), np.int8) for n in range(photons + 1)]
    for mode in range(1, modes + 1):
        wanted = range(photons + 1) if mode < modes else (photons,)
        tables = [_with_first(tables, n) for n in wanted]
    tables[-1].flags.writeable = False
    return tables[-1]


def _with_first(rest: list[Counts], photons: int) -> Counts:
    """States of a mode more: `photons` .. 0 of them in the new first mode, the others as in `rest`."""
    first = [np.full((len(rest[photons - q]), 1), q, np.int8) for q in range(photons, -1, -1)]
    return np.hstack([np.vstack(first), np.vstack(rest[: photons + 1])])


@cache
def _binomials(top: int) -> Ints:
    """C(a, b) for a, b <= top; what is beyond int64 is no rank of a state that fits a memory."""
    return np.array([[min(comb(a, b), 2**62) for b in range(top + 1)] for a in range(top + 1)], np.int64)


def _skipped(after: NDArray[np.integer], modes: int, mode: int) -> Ints:
    """States that come before one because they hold more photons in `mode`; it holds `after` in the modes behind."""
    free = modes - mode - 1
    if not free:
        return np.zeros(after.shape, np.int64)
    return np.asarray(_binomials(int(after.max(initial=0)) + modes)[after + free - 1, free])


def rank(table: NDArray[np.integer]) -> Ints:
    """Position of states (..., modes) among those of as many photons."""
    behind = np.flip(np.cumsum(np.flip(table, -1), -1, dtype=np.int64), -1)
    modes = table.shape[-1]
    out = np.zeros(table.shape[:-1], np.int64)
    for i in range(modes - 1):
        out += _skipped(behind[..., i + 1], modes, i)
    return out


@lru_cache(maxsize=256)
def starts(left: int, right: int, n: int, k: int) -> Ints:
    """Where, among all states, those begin whose left modes are a state of `n` photons; `k` are on the right."""
    first = np.zeros((count(left, n), right), np.int8)
    first[:, 0] = k
    return rank(np.hstack([states(left, n), first]))


@lru_cache(maxsize=256)
def growth(modes: int, photons: int) -> tuple[list[Ints], list[NDArray[np.int32]]]:
    """By slot, at most `photons`: a mode that each state holds light in, and the state with a photon less in it.

    A state with fewer lit modes than slots names the mode `modes`, which none has, in those left over.
    """
    table = states(modes, photons)
    less = _ranks_with_one_less(table)
    lit = table > 0
    slot = np.cumsum(lit, 1) - 1
    columns, sources = [], []
    for r in range(min(modes, photons)):
        row, mode = np.nonzero(lit & (slot == r))
        column, source = np.full(len(table), modes), np.zeros(len(table), np.int32)
        column[row], source[row] = mode, less[row, mode]
        columns.append(column)
        sources.append(source)
    return columns, sources


def _ranks_with_one_less(table: Counts) -> Ints:
    """(states, modes): the rank of each state with a photon less in a mode; of no use where it holds none."""
    modes = table.shape[1]
    behind = np.flip(np.cumsum(np.flip(table, 1), 1, dtype=np.int64), 1)
    out = np.zeros(table.shape, np.int64)
    for i in range(modes - 1):
        out[:, : i + 1] += _skipped(behind[:, i + 1], modes, i)[:, None]
        out[:, i + 1 :] += _skipped(np.maximum(behind[:, i + 1] - 1, 0), modes, i)[:, None]
    return out
