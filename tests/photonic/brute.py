"""The same physics again, in the slowest and plainest way: permanents by Ryser, states by enumeration."""

from __future__ import annotations

from collections import Counter
from itertools import combinations_with_replacement
from math import factorial, prod

import numpy as np
from edgekd.photonic.circuit import Circuit
from hypothesis import strategies as st


def permanent(a: np.ndarray) -> complex:
    """Ryser (1963)."""
    n = len(a)
    return sum(
        (-1) ** (n - bin(s).count("1")) * np.prod(a[:, [j for j in range(n) if s >> j & 1]].sum(1))
        for s in range(1, 1 << n)
    ) if n else 1  # fmt: skip


def all_states(modes: int, photons: int) -> list[tuple[int, ...]]:
    found = (Counter(chosen) for chosen in combinations_with_replacement(range(modes), photons))
    return [tuple(c[i] for i in range(modes)) for c in found]


def distribution(matrix: np.ndarray, photons: tuple[int, ...]) -> dict[tuple[int, ...], float]:
    columns = np.repeat(np.arange(len(photons)), photons)
    norm = prod(map(factorial, photons))
    return {
        s: abs(permanent(matrix[np.ix_(np.repeat(np.arange(len(s)), s), columns)])) ** 2
        / prod(map(factorial, s)) / norm
        for s in all_states(len(matrix), sum(photons))
    }  # fmt: skip


def clicks(states: dict[tuple[int, ...], float], modes: int) -> np.ndarray:
    """(2^modes,) of the first modes, whatever the others hold."""
    out = np.zeros(1 << modes)
    for s, p in states.items():
        out[int("".join(str(int(n > 0)) for n in s[:modes]), 2)] += p
    return out


def halves(joint: np.ndarray, modes: int, interleaved: bool = False) -> np.ndarray:
    grid = joint.reshape((2,) * modes)
    first = [i for i in range(modes) if (i % 2 == 0 if interleaved else i < modes // 2)]
    second = [i for i in range(modes) if i not in first]
    return np.concatenate([grid.sum(tuple(second)).ravel(), grid.sum(tuple(first)).ravel()])


def chi_square_holds(counts: np.ndarray, chances: np.ndarray, z: float = 4.26) -> bool:
    """Pearson's test, cells of less than five expected shots put together; level 1e-5 (z of a normal).

    The quantile is Wilson and Hilferty's.
    """
    expected = chances * counts.sum()
    if counts[expected < 1e-9].any():
        return False
    rare = expected < 5
    seen, due = (np.append(x[~rare], x[rare].sum()) for x in (counts, expected))
    seen, due = seen[due > 0], due[due > 0]
    free = max(len(due) - 1, 1)
    return bool(((seen - due) ** 2 / due).sum() < free * (1 - 2 / (9 * free) + z * np.sqrt(2 / (9 * free))) ** 3)


@st.composite
def circuits(draw, modes=(1, 6), photons=3):
    """A circuit and its angles; photons may share a mode."""
    m = draw(st.integers(*modes))
    lit = draw(st.lists(st.integers(0, m - 1), max_size=photons))
    lengths = st.lists(st.integers(1, max(1, m - 1)), min_size=1, max_size=2)
    loops = tuple(draw(lengths)) if m > 1 else ()
    circuit = Circuit(tuple(lit.count(i) for i in range(m)), loops, draw(st.booleans()))
    angle = st.one_of(st.floats(-7, 7), st.sampled_from([0.0, np.pi / 2, np.pi / 4]))
    angles = draw(st.lists(angle, min_size=circuit.angles, max_size=circuit.angles))
    return circuit, np.array(angles, float)


def haar(modes: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.linalg.qr(rng.normal(size=(modes, modes)) + 1j * rng.normal(size=(modes, modes)))[0]
