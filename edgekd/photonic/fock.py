"""Exact photon-number distributions."""

from __future__ import annotations

from functools import lru_cache
from math import prod

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from edgekd.errors import RequestError
from edgekd.photonic.basis import count, starts
from edgekd.photonic.circuit import Floats, Unitary, checked_photons
from edgekd.photonic.halves import ROWS, Halves, Split, halves, sizes, split
from edgekd.resources import free_memory

SHARE = 0.5
"""Of the free memory, what a distribution may take."""
ALWAYS = 1 << 26
"""Bytes for which nobody looks at the free memory."""
NOTHING = 1e-14
"""A probability that is left out."""
TOLERANCE = 1e-8
"""How far U* U may be from the identity."""


def checked(unitary: ArrayLike, photons: tuple[int, ...]) -> Unitary:
    """`unitary` as float64 or complex128. Raises RequestError for one of another size or none at all."""
    checked_photons(photons)
    try:
        found = np.asarray(unitary)
        found = found.astype(np.complex128 if np.iscomplexobj(found) else np.float64, copy=False)
    except (TypeError, ValueError):
        raise RequestError("the matrix does not consist of numbers", "one row a mode") from None
    modes = len(photons)
    if found.shape[-2:] != (modes, modes):
        raise RequestError(f"a matrix of {modes} x {modes} is needed, {list(found.shape)} was given", "one row a mode")
    off = np.abs(found.conj().swapaxes(-1, -2) @ found - np.eye(modes)).max(initial=0)
    if not off <= TOLERANCE:
        raise RequestError(f"the matrix is not unitary, its columns are off by {off:.2g}", "rows and columns of norm 1")
    return found


def halves_bytes(cut: Split, number: int) -> int:
    """Bytes of both sides of a circuit: coefficients of `number` bytes, thrice, and index tables."""
    total = 0
    for level, choices in enumerate(sizes(cut.free)):
        for modes, photons in zip(cut.modes, cut.photons(level), strict=True):
            total += count(modes, photons) * (3 * choices * number + 16 * min(modes, photons) + 9 * modes)
    return total


@lru_cache(maxsize=64)
def estimate(cut: Split, batch: int, number: int, kept: int) -> int:
    """Bytes for `batch` circuits of amplitudes of `number` bytes: both sides, a block, and `kept` results of each."""
    blocks = max(
        min(count(cut.modes[0], n) * count(cut.modes[1], k) * batch, ROWS + count(cut.modes[1], k) * batch)
        for n, k in map(cut.photons, cut.levels)
    )
    return batch * (halves_bytes(cut, number) + 8 * kept) + blocks * (number + 16)


def allow(needed: int, what: str, limit: int | None = None, hint: str = "take fewer modes or photons") -> None:
    """Raises RequestError where `needed` bytes are more than `limit`, by default half of the free memory."""
    if limit is None and needed <= ALWAYS:
        return
    free = free_memory()
    most = limit if limit is not None else int(SHARE * free) if free is not None else None
    if most is not None and needed > most:
        raise RequestError(f"{what} needs about {needed / 2**30:.3g} GiB, {most / 2**30:.3g} GiB are allowed", hint)


def prepared(
    matrix: Unitary, photons: tuple[int, ...], kept: int, what: str, limit: int | None = None, cut: int | None = None
) -> Halves:
    """Both sides of a checked matrix, where they, a block and `kept` results a circuit fit the memory."""
    where = split(matrix, photons, matrix.shape[-2] // 2 if cut is None else cut)
    allow(estimate(where, prod(matrix.shape[:-2]), matrix.itemsize, kept), what, limit)
    return halves(matrix, photons, where)


def completed(rows: Unitary, photons: tuple[int, ...], what: str, limit: int | None = None) -> Halves:
    """Some output modes on the left, `rows` (modes out, modes in), and on the right whatever else light goes to.

    That enters by its scalar products alone, which orthonormal columns leave no choice in: as many modes as photons'
    modes suffice, whether they stand for other outputs or for what absorbs. Ours.
    """
    used = np.nonzero(np.array(photons))[0]
    lost = np.eye(len(used)) - rows[:, used].conj().T @ rows[:, used]
    values, vectors = np.linalg.eigh(lost)
    some = values > NOTHING
    rest = np.zeros((some.sum(), rows.shape[1]), rows.dtype)
    rest[:, used] = np.sqrt(values[some])[:, None] * vectors[:, some].conj().T
    return prepared(np.concatenate([rows, rest]), photons, 1 << len(rows), what, limit, len(rows))


def distribution(unitary: ArrayLike, photons: tuple[int, ...], limit: int | None = None) -> Floats:
    """(..., states): probabilities of the photon numbers `basis.states`, of `unitary` (..., modes, modes).

    `photons` are the input by mode; `limit` is in bytes, by default half of the free memory. Raises RequestError for a
    matrix that is not unitary, and with the number of bytes for what needs more.
    """
    given = checked(unitary, photons)
    total = count(len(photons), sum(photons))
    both = prepared(given, photons, total, f"the distribution of {total:,} states", limit)
    out = np.zeros((*given.shape[:-2], total))
    for level, rows, block in both.blocks():
        n, k = both.split.photons(level)
        begin = starts(*both.split.modes, n, k)[rows]
        sliding_window_view(out, block.shape[-1], -1, writeable=True)[..., begin, :] = block
    return out
