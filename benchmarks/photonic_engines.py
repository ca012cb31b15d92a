"""One engine of benchmarks/photonic.py in a process, and an environment, of its own; numpy and that engine suffice.

python photonic_engines.py ENGINE UNITARIES.npz ANSWERS.npz SECONDS: prints a JSON of {modes: {task: [ms, first ms]}}.
Photons are put into every second mode. A task is repeated for SECONDS; its median counts, the first call, which builds
what later calls keep, stands apart. The process stays on one CPU.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from itertools import combinations_with_replacement
from math import factorial, prod
from statistics import median
from typing import Any

import numpy as np

Array = np.ndarray
Task = tuple[str, Callable[[], Any]]
SHOTS, FEW = 10_000, 200
"""Shots of the sampled path, and of a histogram."""


def ours(name: str, unitary: Array, photons: tuple[int, ...]) -> Iterator[Task]:
    from edgekd.photonic import clicks, fock
    from edgekd.photonic.circuit import Circuit
    from edgekd.photonic.sampling import sample
    from edgekd.photonic.simulator import Exact, Simulator

    yield "distribution", lambda: fock.distribution(unitary, photons)
    if name.startswith("haar"):
        return
    rng, circuit = np.random.default_rng(0), Circuit(photons)
    angles = np.linspace(0.2, 2.9, circuit.angles)
    yield "click distribution", lambda: clicks.distribution(unitary, photons)
    yield "clicks", lambda: clicks.patterns(sample(unitary, photons, SHOTS, rng) > 0)
    yield "histogram", lambda: Simulator(circuit).features(angles, FEW, (0,))
    yield "exact histogram", lambda: Exact(circuit).features(angles, FEW, (0,))


def perceval(name: str, unitary: Array, photons: tuple[int, ...]) -> Iterator[Task]:
    """SLOS is exact; the sampler behind threshold detectors is fed by it, or by Clifford and Clifford's algorithm."""
    import perceval as pcvl

    matrix, backend, start = pcvl.Matrix(unitary), pcvl.BackendFactory.get_backend("SLOS"), pcvl.BasicState(photons)

    def distribution() -> Array:
        backend.set_circuit(pcvl.Unitary(matrix))
        backend.set_input_state(start)
        return np.array(backend.all_prob())

    def sampled(kind: str, shots: int) -> Any:
        processor = pcvl.Processor(kind, pcvl.Unitary(matrix))
        for mode in range(len(photons)):
            processor.add(mode, pcvl.Detector.threshold())
        processor.min_detected_photons_filter(0)
        processor.with_input(start)
        return pcvl.algorithm.Sampler(processor).sample_count(shots)["results"]

    yield "distribution", distribution
    if not name.startswith("haar"):
        yield "clicks", lambda: sampled("SLOS", SHOTS)
        yield "clicks, Clifford", lambda: sampled("CliffordClifford2017", SHOTS)
        yield "histogram", lambda: sampled("SLOS", FEW)
        yield "histogram, Clifford", lambda: sampled("CliffordClifford2017", FEW)


def piquasso(name: str, unitary: Array, photons: tuple[int, ...]) -> Iterator[Task]:
    import piquasso as pq

    def distribution() -> Array:
        with pq.Program() as program:
            pq.Q() | pq.NumberState(photons)
            pq.Q() | pq.Interferometer(unitary.astype(complex))
        state = pq.PassiveSimulator(d=len(photons)).execute(program).state
        found = state.fock_probabilities_map
        return np.array([found[s] for s in states(photons)])

    if len(photons) <= 12 and not name.startswith("haar"):
        yield "distribution", distribution


def walrus(name: str, unitary: Array, photons: tuple[int, ...]) -> Iterator[Task]:
    """A permanent for each state."""
    from thewalrus import perm

    columns, every = np.nonzero(photons)[0], states(photons)
    rows = [np.repeat(np.arange(len(photons)), s) for s in every]
    norm = np.array([float(prod(map(factorial, s))) for s in every])

    def distribution() -> Array:
        return np.abs([perm(unitary[r][:, columns]) for r in rows]) ** 2 / norm

    if not name.startswith("haar"):
        yield "distribution", distribution


def states(photons: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Photon numbers in lexicographic order."""
    chosen = combinations_with_replacement(range(len(photons)), sum(photons))
    return [tuple(np.bincount(c, minlength=len(photons)).tolist()) for c in chosen]


ENGINES = {"edgekd": ours, "perceval": perceval, "piquasso": piquasso, "walrus": walrus}


def timed(task: Callable[[], Any], seconds: float) -> tuple[list[float], Any]:
    """[ms, ms of the first call], and the answer."""
    answer, spent = None, []
    while len(spent) < 2 or (sum(spent) < seconds and len(spent) < 100):
        start = time.perf_counter()
        answer = task()
        spent.append(time.perf_counter() - start)
        if spent[0] > 20 * seconds:  # below it a compiler may have been at work
            break
    return [1e3 * median(spent[1:] or spent), 1e3 * spent[0]], answer


def main() -> None:
    engine, given, answers, seconds = sys.argv[1:]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    out: dict[str, dict[str, list[float]]] = {}
    found: dict[str, Array] = {}
    with np.load(given) as unitaries:
        for name, unitary in unitaries.items():
            photons = tuple((i + 1) % 2 for i in range(len(unitary)))
            for task, run in ENGINES[engine](name, unitary, photons):
                out.setdefault(name, {})[task], answer = timed(run, float(seconds))
                if task == "distribution":
                    found[name] = answer
    np.savez(answers, **found)
    print(json.dumps(out))


if __name__ == "__main__":
    main()
