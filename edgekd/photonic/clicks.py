"""What threshold detectors tell: click patterns, their exact distribution, histograms of the two halves of the modes.

A pattern is a number whose highest bit is mode 0. The histogram of two halves (PQKD, arXiv:2603.14898) counts the
patterns of each half on its own: 2 * 2^(modes / 2) features instead of 2^modes. Which modes form a half the paper's
abstract does not tell: neighbours by default, or every second mode; both are ours.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekd.errors import RequestError
from edgekd.photonic.base import Clicks
from edgekd.photonic.basis import Ints, states
from edgekd.photonic.circuit import Floats
from edgekd.photonic.fock import allow, checked, prepared
from edgekd.photonic.halves import Halves


def patterns(lit: NDArray[np.bool_]) -> Ints:
    """(...): the numbers of click patterns (..., modes)."""
    return np.asarray(lit @ (1 << np.arange(lit.shape[-1])[::-1]), np.int64)


def halves_order(modes: int, interleaved: bool = False) -> Ints:
    """Modes of the first half, then of the second. Raises RequestError for an odd number."""
    if modes % 2:
        raise RequestError(f"{modes} modes have no two halves", "take an even number of modes")
    order = np.arange(modes)
    return np.concatenate([order[::2], order[1::2]]) if interleaved else order


def bins(modes: int) -> int:
    """Patterns of half the modes. Raises RequestError for an odd number, or for more than fit the memory."""
    half = len(halves_order(modes)) // 2
    allow(64 << half, f"a histogram of two halves of {half} modes")
    return 1 << half


def histogram(clicks: Clicks, interleaved: bool = False) -> Floats:
    """(2 * 2^(modes / 2),): shares of the patterns of each half among the shots (shots, modes); each half adds to 1.

    Raises RequestError for no shots, an odd number of modes or too many.
    """
    shots, modes = clicks.shape
    if not shots:
        raise RequestError("no shots, no histogram", "take at least one")
    length, order, half = bins(modes), halves_order(modes, interleaved), modes // 2
    sides = clicks[:, order[:half]], clicks[:, order[half:]]
    counts = [np.bincount(patterns(side), minlength=length) for side in sides]
    return np.concatenate(counts) / float(shots)


def features(
    unitary: ArrayLike, photons: tuple[int, ...], interleaved: bool = False, limit: int | None = None
) -> Floats:
    """(..., 2 * 2^(modes / 2)): the histogram of infinitely many shots, without the distribution of the whole.

    Raises RequestError as `fock.distribution` does, and for an odd number of modes.
    """
    given = checked(unitary, photons)[..., halves_order(len(photons), interleaved), :]
    both = prepared(given, photons, 4 << len(photons) // 2, "the exact histogram", limit)
    return np.concatenate([side_clicks(both, right=False), side_clicks(both, right=True)], -1)


def side_clicks(both: Halves, right: bool) -> Floats:
    """(..., 2^modes of the side): its click distribution."""
    modes = both.split.modes[right]
    tables = both.marginals(right)
    out = np.zeros((*tables[0].shape[:-1], 1 << modes))
    for level, table in enumerate(tables):
        order, starts, found = groups(modes, both.split.photons(level)[right])
        out[..., found] += np.add.reduceat(table[..., order], starts, -1)
    return out


def distribution(unitary: ArrayLike, photons: tuple[int, ...], limit: int | None = None) -> Floats:
    """(..., 2^modes): probabilities of the click patterns. Raises RequestError as `fock.distribution` does."""
    given = checked(unitary, photons)
    return joint_clicks(prepared(given, photons, 1 << len(photons), "the click distribution", limit))


def joint_clicks(both: Halves) -> Floats:
    """(..., 2^modes): the click distribution of both sides together."""
    left, right = both.split.modes
    tables = [
        [groups(m, n) for m, n in zip((left, right), both.split.photons(p), strict=True)] for p in both.split.levels
    ]
    ordered = Halves(
        both.split,
        [side[..., table[0][0]] for side, table in zip(both.left, tables, strict=True)],
        [side[..., table[1][0]] for side, table in zip(both.right, tables, strict=True)],
    )
    out = np.zeros((*both.left[0].shape[:-2], 1 << left, 1 << right))
    for level, rows, block in ordered.blocks():
        (_, first, found), (_, second, columns) = tables[level]
        low, high = (
            np.searchsorted(first, rows.start, "right") - 1,
            np.searchsorted(first, rows.start + block.shape[-2]),
        )
        cuts = np.maximum(first[low:high] - rows.start, 0)
        sums = np.add.reduceat(np.add.reduceat(block, second, -1), cuts, -2)
        out[..., found[low:high, None], columns] += sums
    return out.reshape(*out.shape[:-2], -1)


def side_patterns(modes: int, photons: int) -> Ints:
    """(states,): the click pattern of each state."""
    return patterns(states(modes, photons) > 0)


@lru_cache(maxsize=256)
def groups(modes: int, photons: int) -> tuple[Ints, Ints, Ints]:
    """States in the order of their patterns; where each pattern begins; the patterns."""
    number = side_patterns(modes, photons)
    order = np.argsort(number, kind="stable")
    found, starts = np.unique(number[order], return_index=True)
    return order, starts, found
