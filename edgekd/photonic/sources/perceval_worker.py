"""Answer lines of JSON with Perceval, in the environment that `edgekd fetch perceval` makes.

A line has `real`, `imaginary` (the unitary), `photons`, and `task`: `distribution` gives pairs of pattern and
probability, `sample` gives `shots` patterns for a `seed`.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from typing import Any, TextIO


def answer(perceval: Any, asked: dict[str, Any]) -> Any:
    """Patterns of photon numbers."""
    rows = zip(asked["real"], asked["imaginary"], strict=True)
    matrix = [[complex(*entry) for entry in zip(*row, strict=True)] for row in rows]
    circuit, state = perceval.Unitary(perceval.Matrix(matrix)), perceval.BasicState(asked["photons"])
    backend = perceval.Clifford2017Backend() if asked["task"] == "sample" else perceval.SLOSBackend()
    backend.set_circuit(circuit)
    backend.set_input_state(state)
    if asked["task"] == "sample":
        perceval.random_seed(asked["seed"])
        return [list(pattern) for pattern in backend.samples(asked["shots"])]
    return [[list(pattern), p] for pattern, p in backend.prob_distribution().items()]


def main(lines: TextIO, out: TextIO) -> None:
    """Until the lines end."""
    perceval = import_module("perceval")
    for line in lines:
        out.write(json.dumps(answer(perceval, json.loads(line))) + "\n")
        out.flush()


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    main(sys.stdin, answers)
