"""What a bundle costs: counted from its graphs, and timed on this host where it is meant to run here."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

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
    """Cost of the shipped and the float graph; latency only of what is meant to run on this host."""
    manifest = bundle.manifest
    figures = []
    for arm in (manifest.recipe.teacher, manifest.recipe.ship):
        path = bundle.path / manifest.arms[arm].graph
        for name, value in asdict(count(Graph(read_model(path)))).items():
            figures.append(
                Figure(
                    name=name,
                    subject=arm,
                    value=value,
                    unit=UNITS[name],
                    kind="estimated",
                    sha256=sha256(path),
                    method="counted from the graph at its deployed shape",
                    tool=f"edgekd {installed('edgekd')}",
                    host=host(),
                    when=now(),
                )  # fmt: skip
            )
    if is_board(manifest.target.board.reach):
        for name, record in manifest.engines.items():
            artifact = read_artifact(bundle.path / "artifacts" / name)
            if record.role == "target" and artifact.runner and can_run(artifact.runner):
                say(f"latency of {name}, {manifest.recipe.profile.runs} runs")
                figures += latency(bundle, name, artifact)
    return figures


def latency(bundle: Bundle, name: str, artifact: Artifact) -> list[Figure]:
    """Time the artifact and the FP32 graph in the same engine, in turns, in a fresh process."""
    recipe = bundle.manifest.recipe
    settings, float_graph = recipe.profile, bundle.path / bundle.manifest.arms[recipe.teacher].graph
    graph = Graph(read_model(bundle.path / "graph.onnx"))
    with np.load(bundle.path / "probes.npz", allow_pickle=False) as file:
        inputs: dict[str, Array] = {n: file[f"0/input/{n}"] for n in graph.inputs}
    options = artifact.options | {"threads": settings.threads}
    assert artifact.runner is not None
    with tempfile.TemporaryDirectory() as folder:
        engine = backend(artifact.backend)
        reference = Graph(read_model(float_graph))
        options_of = engine.Options.model_validate(
            {k: v for k, v in artifact.options.items() if k in engine.Options.model_fields}
        )
        twin = engine.compile(Job(reference, reference, [inputs], []), options_of, Path(folder))
        shipped = bundle.path / "artifacts" / name / artifact.model
        timed = {recipe.teacher: Path(folder) / twin.model, name: shipped}
        result = measure(
            [Timed(subject, artifact.runner, path, options) for subject, path in timed.items()],
            inputs, settings.warmup, settings.runs,
        )  # fmt: skip
    figures = []
    for subject, path in ((recipe.teacher, float_graph), (name, shipped)):
        seconds = np.array(result["seconds"][subject]) * 1e3
        figures.append(
            Figure(
                name="latency",
                subject=subject,
                value=float(np.median(seconds)),
                unit="ms",
                kind="measured",
                sha256=sha256(path),
                n=len(seconds),
                interval=bootstrap(seconds, lambda rows: float(np.median(rows))),
                method="median of single inferences, engines in turns, 95 % bootstrap interval",
                tool=result["tools"][subject],
                host=host(),
                when=now(),
                details=percentiles(seconds)
                | {
                    "threads": settings.threads,
                    "warmup": settings.warmup,
                    "load_before": result["load_before"],
                    "load_after": result["load_after"],
                    "cpus": os.cpu_count(),
                },
            )  # fmt: skip
        )
    return figures
