"""What a bundle costs: counted from its graphs, and measured on this host where it is meant to run here."""

from __future__ import annotations

import tempfile
from pathlib import Path

from edgekd.backends.base import read_artifact
from edgekd.devices.base import Say, Timing, silent
from edgekd.devices.bench import twins
from edgekd.devices.costs import costs
from edgekd.devices.local import Local, can_run, is_board
from edgekd.devices.measure import figures, measure_works
from edgekd.devices.work import work_of
from edgekd.evidence import Bundle, Figure
from edgekd.verify.check import read_probes


def profile(bundle: Bundle, say: Say = silent) -> list[Figure]:
    """Cost of the float and the shipped graph; latency and memory only of what is meant to run on this host."""
    manifest = bundle.manifest
    out = [f for arm in (manifest.recipe.reference, manifest.recipe.ship) for f in costs(bundle, arm)]
    if is_board(manifest.target.board.reach):
        for name, record in manifest.engines.items():
            runner = read_artifact(bundle.path / "artifacts" / name).runner
            if record.role == "target" and runner and can_run(runner):
                say(f"latency of {name}")
                out += latency(bundle, name)
    return out


def latency(bundle: Bundle, name: str) -> list[Figure]:
    """Latency and memory of an artifact and of the FP32 graph in the same engine, on this host."""
    artifact = read_artifact(bundle.path / "artifacts" / name)
    inputs = read_probes(bundle.path / "probes.npz")[0]
    with tempfile.TemporaryDirectory() as folder:
        works = [*twins(bundle, name, artifact, inputs[0], Path(folder)), work_of(bundle, name, artifact)]
        return figures(measure_works(Local(), works, inputs[:1], timing(bundle)))


def timing(bundle: Bundle) -> Timing:
    """How long a bundle's recipe measures."""
    return Timing(**bundle.manifest.recipe.profile.plain())
