"""What a bundle costs: counted from its graphs, and timed on this host where it is meant to run here."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edgekd.backends.base import Artifact, Job, read_artifact
from edgekd.backends.registry import backend
from edgekd.devices.local import Timed, can_run, is_board, measure
from edgekd.evidence import Bundle, Figure, host, now
from edgekd.graph.cost import count
from edgekd.graph.model import Array, Graph, read_model
from edgekd.measure.statistics import bootstrap, percentiles
from edgekd.resources import sha256
from edgekd.store import installed

UNITS = {"parameters": "", "macs": "", "weight_bytes": "B", "peak_activation_bytes": "B"}


def profile(bundle: Bundle, say: Callable[[str], None] = lambda text: None) -> list[Figure]:
    """Cost of the float and the shipped graph; latency only of what is meant to run on this host."""
    manifest = bundle.manifest
    figures = [f for arm in (manifest.recipe.teacher, manifest.recipe.ship) for f in costs(bundle, arm)]
    if is_board(manifest.target.board.reach):
        for name, record in manifest.engines.items():
            artifact = read_artifact(bundle.path / "artifacts" / name)
            if record.role == "target" and artifact.runner and can_run(artifact.runner):
                say(f"latency of {name}, {manifest.recipe.profile.runs} runs")
                figures += latency(bundle, name, artifact)
    return figures


def costs(bundle: Bundle, arm: str) -> list[Figure]:
    """Counts of an arm's graph."""
    path = bundle.path / bundle.manifest.arms[arm].graph
    counted = asdict(count(Graph(read_model(path))))
    common: dict[str, Any] = {
        "subject": arm,
        "kind": "estimated",
        "sha256": sha256(path),
        "method": "counted from the graph at its deployed shape",
        "tool": f"edgekd {installed('edgekd')}",
        "host": host(),
        "when": now(),
    }
    return [Figure(name=name, value=value, unit=UNITS[name], **common) for name, value in counted.items()]


def latency(bundle: Bundle, name: str, artifact: Artifact) -> list[Figure]:
    """Time the artifact and the FP32 graph in the same engine, in turns, in a fresh process."""
    recipe = bundle.manifest.recipe
    shipped = bundle.path / "artifacts" / name / artifact.model
    reference = bundle.path / bundle.manifest.arms[recipe.teacher].graph
    inputs = read_inputs(bundle.path / "probes.npz")
    assert artifact.runner is not None
    with tempfile.TemporaryDirectory() as folder:
        twin = Path(folder) / compile_float(artifact, reference, inputs, Path(folder)).model
        options = artifact.options | {"threads": recipe.profile.threads}
        models = [
            Timed(subject, artifact.runner, path, options)
            for subject, path in ((recipe.teacher, twin), (name, shipped))
        ]
        result = measure(models, inputs, recipe.profile.warmup, recipe.profile.runs)
    return [
        _latency_figure(bundle, recipe.teacher, reference, result),
        _latency_figure(bundle, name, shipped, result),
    ]


def read_inputs(probes: Path) -> dict[str, Array]:
    """Inputs of the first probe."""
    with np.load(probes, allow_pickle=False) as file:
        return {entry.split("/", 2)[2]: file[entry] for entry in file.files if entry.startswith("0/input/")}


def compile_float(artifact: Artifact, reference: Path, inputs: dict[str, Array], out: Path) -> Artifact:
    """The float graph, compiled with the artifact's backend and options."""
    engine, graph = backend(artifact.backend), Graph(read_model(reference))
    known = engine.Options.model_fields
    options = engine.Options.model_validate({k: v for k, v in artifact.options.items() if k in known})
    return engine.compile(Job(graph, graph, [inputs], []), options, out)


def _latency_figure(bundle: Bundle, subject: str, file: Path, result: dict[str, Any]) -> Figure:
    milliseconds = np.array(result["seconds"][subject]) * 1e3
    settings = bundle.manifest.recipe.profile
    details = percentiles(milliseconds) | {
        "threads": settings.threads,
        "warmup": settings.warmup,
        "load_before": result["load_before"],
        "load_after": result["load_after"],
    }
    return Figure(
        name="latency",
        subject=subject,
        value=float(np.median(milliseconds)),
        unit="ms",
        kind="measured",
        sha256=sha256(file),
        n=len(milliseconds),
        interval=bootstrap(milliseconds, lambda rows: float(np.median(rows))),
        method="median of single inferences, engines in turns, 95 % bootstrap interval",
        tool=result["tools"][subject],
        host=host(),
        when=now(),
        details=details,
    )
