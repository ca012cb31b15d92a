"""Seeded samples of photon numbers, without the distribution of the whole."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from edgekd.errors import RequestError
from edgekd.photonic.basis import Counts, Ints, states
from edgekd.photonic.circuit import Circuit, Floats, Unitary
from edgekd.photonic.fock import allow, checked, prepared
from edgekd.photonic.halves import ROWS, Halves, squared
from edgekd.photonic.timeline import splitters

SHOT = 24
"""Bytes for each mode of a shot."""


def checked_shots(shots: int, modes: int) -> int:
    """Raises RequestError for less than one, and for more than fit the memory."""
    if shots < 1:
        raise RequestError(f"{shots} shots were asked for", "take at least one")
    allow(SHOT * shots * modes, f"a sample of {shots:,} shots", hint="take fewer shots")
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
    return sample_halves(prepared(given, photons, 0, "the sampler", limit), checked_shots(shots, len(photons)), rng)


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


def _right(left: Unitary, right: Unitary, rows: Ints, rng: np.random.Generator) -> Ints:
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
    return np.asarray(np.clip(found - rows * width, 0, width - 1), np.int64)


def markov(circuit: Circuit, angles: Floats, inputs: Counts, rng: np.random.Generator, loss: float = 0.0) -> Counts:
    """(shots, modes): photon numbers of a circuit of one loop of length 1, without any Fock space.

    What is counted early leaves only a photon number in the loop, so a shot is a walk over that number; `inputs` and
    `loss` as in `timeline.sample`. Raises RequestError for other loops or wrong angles.
    """
    if circuit.loops != (1,):
        raise RequestError(f"loops {list(circuit.loops)} are no Markov chain", "one loop of length 1 is")
    ends = _running_sums(circuit, angles, int(inputs.sum(1).max(initial=0)))
    out, held = np.zeros(inputs.shape, np.int8), inputs[:, 0].astype(np.int64)
    for a in range(circuit.modes - 1):
        held = rng.binomial(held, 1 - loss)
        both = held + inputs[:, a + 1]
        left = (rng.random(len(held))[:, None] >= ends[a, both, held]).sum(1)
        out[:, a], held = left, both - left
    out[:, -1] = rng.binomial(held, 1 - loss)
    return out


def _running_sums(circuit: Circuit, angles: Floats, most: int) -> Floats:
    """(splitters, q, k, n): the chance that at most n of q photons leave when k come from the loop; 1 from n = q on."""
    turned = circuit.checked(angles)[: circuit.splitters]
    allow(16 * len(turned) * (most + 1) ** 3, f"the chances of {len(turned)} beam splitters")
    out = np.ones((len(turned), most + 1, most + 1, most + 1))
    for q, gate in enumerate(splitters(np.cos(turned), np.sin(turned), None, most)):
        out[:, q, : q + 1, :q] = np.cumsum(gate[:, :q] ** 2, 1).swapaxes(1, 2)
    return out
