"""This host as a device."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import MissingError
from edgekd.schema.target import Reach

Arrays = dict[str, NDArray[Any]]
RUNNERS = {"ort": "onnxruntime", "ov": "openvino", "tfl": "ai_edge_litert"}
"""Runner to the package it needs."""


@dataclass(frozen=True)
class Timed:
    """A model to time: its name, runner, file and options."""

    name: str
    runner: str
    model: Path
    options: dict[str, Any]


def can_run(runner: str) -> bool:
    """Whether the runtime of a runner is installed here."""
    return find_spec(RUNNERS[runner]) is not None


def open_session(runner: str, model: Path, options: dict[str, Any], expose: list[str] | None = None) -> Any:
    """A session of a runner, in this process. Raises MissingError where its runtime is not installed."""
    package = RUNNERS[runner]
    if not can_run(runner):
        raise MissingError(f"`{package}` is not installed", f"pip install edgekd[{package}]")
    module = import_module(f"edgekd.runners.{runner}")
    return module.Session(model, tuple(expose or ()), **options)


def is_board(reach: Reach) -> bool:
    """Whether this host is what a descriptor describes."""
    return reach.transport == "local" and platform.machine() in reach.machines


def measure(models: list[Timed], inputs: Arrays, warmup: int, runs: int) -> dict[str, Any]:
    """Time models in a fresh process; `edgekd.runners.timed` tells the form of the result."""
    here = Path(__file__).parent.parent / "runners"
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "inputs.npz", **inputs)  # type: ignore[arg-type]
        job = {
            "models": [
                {
                    "name": m.name,
                    "runner": str(here / f"{m.runner}.py"),
                    "model": str(m.model),
                    "options": m.options,
                }
                for m in models
            ],
            "inputs": str(Path(folder) / "inputs.npz"),
            "warmup": warmup,
            "runs": runs,
        }
        (Path(folder) / "job.json").write_text(json.dumps(job), encoding="utf-8")
        command = [sys.executable, str(here / "timed.py"), str(Path(folder) / "job.json")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"NO_COLOR": "1"})
    if done.returncode:
        raise MissingError(f"the model cannot be run here: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result
