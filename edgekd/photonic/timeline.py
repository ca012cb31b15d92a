"""Samples that follow the light bin by bin: only what is in the loops is held, never the state of all bins.

A bin is measured as soon as its last beam splitter has passed. What was counted before leaves the light in the loops in
one pure state, of as many bins as the loops are long: exact, for any number of bins, with losses on the way. With one
loop of length 1 nothing but a photon number is left, a classical Markov chain. That time-bin light can be sampled loop
by loop is known (arXiv:2411.16873); this formulation, with losses and with inputs shot by shot, is ours.
"""

from __future__ import annotations

from bisect import bisect
from functools import lru_cache
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.photonic.basis import Counts, Ints, count, rank, states
from edgekd.photonic.circuit import Circuit, Floats, Unitary
from edgekd.photonic.fock import allow

Event = tuple[int, ...]
"""A round trip of a bin (bin,), or a beam splitter of two (bin, bin, which)."""
Group = tuple[Ints, NDArray[Any]]
"""Shots with as many photons on the way: their numbers, their amplitudes (shots, states of the live bins)."""
CHUNK = 1 << 21
"""Amplitudes that are held at a time."""


@lru_cache(maxsize=32)
def schedule(circuit: Circuit) -> tuple[tuple[Event, ...], ...]:
    """For each bin, what must happen after the bin before has left and before it leaves itself."""
    events: list[Event] = []
    for i, (a, b) in enumerate(circuit.pairs):
        events += [(a,), (a, b, i)]
        events += [(last,) for last in range(a + 1, circuit.modes) if b == circuit.modes - 1]
    waiting, out = list(enumerate(events)), []
    for leaving in range(circuit.modes):
        needed, now = {leaving}, []
        for item in reversed(waiting):
            if needed.intersection(item[1][:2]):
                needed.update(item[1][:2])
                now.append(item)
        waiting = [item for item in waiting if item not in now]
        out.append(tuple(event for _, event in reversed(now)))
    return tuple(out)


def live(circuit: Circuit) -> int:
    """The most bins that are on the way at once."""
    most, here = 1, set()
    for leaving, events in enumerate(schedule(circuit)):
        here |= {leaving, *(mode for event in events for mode in event[:2])}
        most = max(most, len(here))
        here -= {leaving}
    return most


def splitters(cos: Floats, sin: Floats, phases: Floats | None, photons: int) -> list[Unitary]:
    """For q = 0 .. `photons`: (beam splitters, q + 1, q + 1), the amplitude from k to n photons of q in the first bin.

    Photon by photon: a photon that enters by the first bin leaves as exp(ip) (cos, -sin), by the second as (sin, cos).
    """
    turn = np.ones(len(cos)) if phases is None else np.exp(1j * phases)
    out = [np.ones((len(cos), 1, 1), turn.dtype)]
    first, second = (turn * cos, turn * -sin), (sin, cos)
    for q in range(1, photons + 1):
        n = np.arange(q + 1)[:, None]
        pad = [(0, 0), (1, 1), (0, 0)]
        wider = np.pad(out[-1], pad)
        up, same = np.sqrt(n) * wider[:, :-1], np.sqrt(q - n) * wider[:, 1:]
        grown = [u[:, None, None] * up + v[:, None, None] * same for u, v in (first, second)]
        out.append(np.concatenate([grown[1][..., :1] / np.sqrt(q), grown[0] / np.sqrt(np.arange(1, q + 1))], -1))
    return out


def sample(circuit: Circuit, angles: Floats, inputs: Counts, rng: np.random.Generator, loss: float = 0.0) -> Counts:
    """(shots, modes): photon numbers at the output; `inputs` (shots, modes) at the input of each shot.

    `loss` is that of `Circuit.transfer`. Raises RequestError for wrong angles or where the light in the loops does not
    fit the memory.
    """
    given, most = circuit.checked(angles), int(inputs.sum(1).max(initial=0))
    cost = count(live(circuit), most)
    allow(32 * live(circuit) * cost, f"the light of {live(circuit)} bins on the way")
    phases = given[circuit.splitters :] if circuit.phases else None
    turned = given[: circuit.splitters]
    gates = splitters(np.cos(turned), np.sin(turned), phases, most)
    step = max(1, CHUNK // cost)
    parts = [_run(circuit, gates, inputs[i : i + step], rng, loss) for i in range(0, len(inputs), step)]
    return np.concatenate(parts)


def _run(circuit: Circuit, gates: list[Unitary], inputs: Counts, rng: np.random.Generator, loss: float) -> Counts:
    out = np.zeros(inputs.shape, np.int8)
    groups: dict[int, Group] = {0: (np.arange(len(inputs)), np.ones((len(inputs), 1), gates[0].dtype))}
    here: list[int] = []
    for leaving, events in enumerate(schedule(circuit)):
        for event in (*events, (leaving,)):
            for mode in event[:2]:
                if mode not in here:
                    groups = _enter(groups, here, mode, inputs)
        for event in events:
            places = [here.index(mode) for mode in event[:2]]
            if len(event) > 1:
                groups = {t: (ids, _meet(a, len(here), t, places, gates, event[2])) for t, (ids, a) in groups.items()}
            elif loss:
                groups = _measure(groups, len(here), places[0], rng, loss)[0]
        groups, counted = _measure(groups, len(here), here.index(leaving), rng, None)
        for ids, n in counted:
            out[ids, leaving] = n
        here.remove(leaving)
    return out


def _enter(groups: dict[int, Group], here: list[int], mode: int, inputs: Counts) -> dict[int, Group]:
    """A bin joins the live ones `here`, with the photons that each shot put into it."""
    place = bisect(here, mode)
    here.insert(place, mode)
    parts = []
    for t, (ids, amplitudes) in groups.items():
        for n in np.unique(inputs[ids, mode]):
            some = inputs[ids, mode] == n
            wider = np.zeros((some.sum(), count(len(here), t + int(n))), amplitudes.dtype)
            wider[:, states(len(here), t + int(n))[:, place] == n] = amplitudes[some]
            parts.append((t + int(n), (ids[some], wider)))
    return _merged(parts)


def _merged(parts: list[tuple[int, Group]]) -> dict[int, Group]:
    """Shots with as many photons go together."""
    by_photons: dict[int, list[Group]] = {}
    for t, group in parts:
        by_photons.setdefault(t, []).append(group)
    return {
        t: (np.concatenate([ids for ids, _ in some]), np.concatenate([a for _, a in some]))
        for t, some in sorted(by_photons.items())
    }


def _meet(
    amplitudes: Unitary, modes: int, photons: int, places: list[int], gates: list[Unitary], which: int
) -> Unitary:
    """Two live bins on a beam splitter: the states that differ by what is where in the pair mix."""
    out = amplitudes.copy()
    for q, rows in _pairs(modes, photons, *places):
        out[:, rows] = amplitudes[:, rows] @ gates[q][which].T
    return out


@lru_cache(maxsize=1024)
def _pairs(modes: int, photons: int, a: int, b: int) -> list[tuple[int, Ints]]:
    """(q, (blocks, q + 1)): states with q > 0 photons in two bins, 0 .. q of them in the first."""
    table = states(modes, photons).astype(np.int64)
    out = []
    for q in range(1, photons + 1):
        start = table[(table[:, a] == 0) & (table[:, b] == q)]
        moved = np.repeat(start[:, None], q + 1, 1)
        moved[..., a] = np.arange(q + 1)
        moved[..., b] = q - np.arange(q + 1)
        if len(start):
            out.append((q, rank(moved)))
    return out


def _measure(
    groups: dict[int, Group], modes: int, place: int, rng: np.random.Generator, loss: float | None
) -> tuple[dict[int, Group], list[tuple[Ints, int]]]:
    """Counts the photons a bin loses, or all of them where `loss` is None and it leaves: by outcome, the shots."""
    parts, counted = [], []
    for t, (ids, amplitudes) in groups.items():
        chances = np.stack(
            [(np.abs(amplitudes[:, rows] * scale) ** 2).sum(1) for rows, _, scale in _outcomes(modes, t, place, loss)],
            1,
        )
        ends = np.cumsum(chances, 1)
        drawn = (rng.random(len(ids))[:, None] * ends[:, -1:] >= ends).sum(1)
        for n, (rows, targets, scale) in enumerate(_outcomes(modes, t, place, loss)):
            some = np.nonzero(drawn == n)[0]
            if len(some):
                left = np.zeros((len(some), count(modes - (loss is None), t - n)), amplitudes.dtype)
                left[:, targets] = amplitudes[np.ix_(some, rows)] * (scale / np.sqrt(chances[some, n])[:, None])
                parts.append((t - n, (ids[some], left)))
                counted.append((ids[some], n))
    return _merged(parts), counted


@lru_cache(maxsize=1024)
def _outcomes(modes: int, photons: int, place: int, loss: float | None) -> list[tuple[Ints, Ints, Floats]]:
    """For n = 0 .. photons: states that n photons can go from, what they become, by which factor."""
    table = states(modes, photons).astype(np.int64)
    out = []
    for n in range(photons + 1):
        held = table[:, place]
        rows = np.nonzero(held == n if loss is None else held >= n)[0]
        rest = table[rows]
        rest[:, place] -= n
        targets = rank(np.delete(rest, place, 1) if loss is None else rest)
        chance = np.array([1.0 if loss is None else comb(h, n) * loss**n * (1 - loss) ** (h - n) for h in held[rows]])
        out.append((rows, targets, np.sqrt(chance)))
    return out
