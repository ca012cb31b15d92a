"""The photonic simulator beside its peers: python benchmarks/photonic.py [--max MODES] [--rounds N]

4 to 16 modes, a photon in every second one, two loops of length 1, one random setting a size; at the same sizes a
random complex interferometer, which has no loops to gain by. The same unitaries go to every engine, in turns, each in a
process of its own on one CPU; the answers are compared. Beyond 16 modes edgekd stands alone, with time and memory.

A peer lives in an environment of its own, whose python EDGEKD_PERCEVAL, EDGEKD_PIQUASSO or EDGEKD_WALRUS names; one
that is absent is left out and told:

    python3 -m venv perceval && perceval/bin/pip install perceval-quandela==1.3.1
    python3 -m venv piquasso && piquasso/bin/pip install piquasso==8.0.2
    python3 -m venv walrus && walrus/bin/pip install thewalrus==0.22.0
    EDGEKD_PERCEVAL=perceval/bin/python ... python benchmarks/photonic.py
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from math import comb
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from edgekd.evidence import host, now
from edgekd.photonic import clicks, fock
from edgekd.photonic.circuit import Circuit, alternating
from edgekd.photonic.simulator import Simulator
from matplotlib.figure import Figure

ENGINES = {
    "edgekd": "edgekd",
    "perceval": "Perceval 1.3.1",
    "piquasso": "Piquasso 8.0.2",
    "walrus": "The Walrus 0.22.0",
}
SIZES, SECONDS = (4, 6, 8, 10, 12, 14, 16), 0.7
LIMITS = (
    ("all probabilities", 18), ("all probabilities", 20), ("click distribution", 20), ("click distribution", 22),
    ("exact histogram", 20), ("exact histogram", 24), ("200 shots", 20), ("200 shots", 32), ("200 shots", 40),
)  # fmt: skip
Times = dict[str, dict[str, list[float]]]


def setting(modes: int) -> tuple[Circuit, np.ndarray]:
    circuit = Circuit(alternating(modes))
    return circuit, np.random.default_rng(modes).uniform(0, 2 * np.pi, circuit.angles)


def haar(modes: int) -> np.ndarray:
    parts = np.random.default_rng(modes).normal(size=(2, modes, modes))
    return np.linalg.qr(parts[0] + 1j * parts[1])[0]


def pythons() -> dict[str, str]:
    """The engines that are here, with their python."""
    found = {name: os.environ.get(f"EDGEKD_{name.upper()}", "") for name in ENGINES}
    return {name: path for name, path in (found | {"edgekd": sys.executable}).items() if path}


def turn(engine: str, python: str, folder: Path) -> Times:
    """One engine, every size and task."""
    script, one = Path(__file__).with_name("photonic_engines.py"), dict.fromkeys(("OMP_NUM_THREADS",
                   "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")  # fmt: skip
    command = [python, script, engine, folder / "unitaries.npz", folder / f"{engine}.npz", str(SECONDS)]
    done = subprocess.run(command, env=os.environ | one, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{engine} failed: {done.stderr.strip().splitlines()[-1:]}")
    found: Times = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def merged(turns: list[Times]) -> Times:
    """Medians over the rounds."""
    return {
        name: {task: [median(t[name][task][i] for t in turns) for i in (0, 1)] for task in tasks}
        for name, tasks in turns[0].items()
    }


def differences(engines: list[str], folder: Path) -> dict[str, float]:
    """The largest difference of a probability between edgekd and a peer, over all sizes."""
    with np.load(folder / "edgekd.npz") as mine:
        ours = dict(mine)
    out = {}
    for engine in engines:
        with np.load(folder / f"{engine}.npz") as theirs:
            out[engine] = max(float(np.abs(ours[name] - p).max()) for name, p in theirs.items())
    return out


def limit(kind: str, modes: int) -> tuple[float, float]:
    """Seconds of a first call, and the MiB that it adds to the peak of a fresh process."""
    circuit, angles = setting(modes)
    unitary, before = circuit.unitary(angles), peak()
    start = time.perf_counter()
    if kind == "all probabilities":
        total = fock.distribution(unitary, circuit.photons).sum()
    elif kind == "click distribution":
        total = clicks.distribution(unitary, circuit.photons).sum()
    elif kind == "exact histogram":
        total = clicks.features(unitary, circuit.photons).sum() / 2
    else:
        total = len(Simulator(circuit).sample(angles, 200, (0,))) / 200
    seconds = time.perf_counter() - start
    if abs(total - 1) > 1e-9:
        raise SystemExit(f"{kind} of {modes} modes adds to {total}")
    return seconds, peak() - before


def peak() -> float:
    """Peak resident size of this process, MiB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--max", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # read by the processes started here
    here, sizes = pythons(), [m for m in SIZES if m <= asked.max]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        loops = {f"loops{m}": setting(m)[0].unitary(setting(m)[1]) for m in sizes}
        np.savez(folder / "unitaries.npz", **loops, **{f"haar{m}": haar(m) for m in sizes})
        rounds = [
            {engine: turn(engine, python, folder) for engine, python in here.items()} for _ in range(asked.rounds)
        ]
        same = differences([engine for engine in here if engine != "edgekd"], folder)
    limits = []
    for kind, modes in LIMITS:
        if modes <= asked.max:
            with multiprocessing.get_context("spawn").Pool(1) as fresh:
                limits.append((kind, modes, *fresh.apply(limit, (kind, modes))))
    result = {
        "host": host(), "when": now(), "load": os.getloadavg(), "command": " ".join(["python", *sys.argv]),
        "rounds": asked.rounds, "sizes": sizes, "absent": [e for e in ENGINES if e not in here],
        "ms": {engine: merged([r[engine] for r in rounds]) for engine in here}, "differences": same, "limits": limits,
    }  # fmt: skip
    print(page(result))
    results = Path(__file__).parent / "results"
    (results / "photonic.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (results / "photonic.md").write_text(page(result), encoding="utf-8")
    growth(result).savefig(results / "photonic.png", dpi=144)


def row(result: dict[str, Any], modes: int, cells: list[tuple[str, str, str]]) -> str:
    """A line of a table: ms of (engine, family, task)."""
    found = [result["ms"].get(engine, {}).get(f"{family}{modes}", {}).get(task) for engine, family, task in cells]
    return f"| {modes}, {modes // 2} | " + " | ".join("" if ms is None else f"{ms[0]:.3g}" for ms in found) + " |"


def page(result: dict[str, Any]) -> str:
    def table(head: str, cells: list[tuple[str, str, str]]) -> list[str]:
        return [f"| modes, photons | {head} |", "|---" * (len(cells) + 1) + "|",
                *(row(result, m, cells) for m in result["sizes"]), ""]  # fmt: skip

    ours, theirs = "edgekd", "perceval"
    absent = ", ".join(ENGINES[e] for e in result["absent"])
    first = {m: result["ms"][ours][f"loops{m}"]["distribution"][1] for m in result["sizes"]}
    return "\n".join([
        "# The photonic simulator beside its peers",
        "",
        f"`{result['command']}`, {result['when']}; {result['host']}; load average {result['load'][0]:.1f} at the end.",
        *([f"Not here, left out: {absent}."] if absent else []),
        "",
        "Milliseconds, medians over repeats and over rounds in which every engine takes its turn, each in a process of",
        "its own on one CPU. A photon in every second mode, two loops of length 1, one random setting a size.",
        "",
        "Every probability of the photon-number distribution. *Any* is a random complex interferometer, where nothing",
        "can be gained from loops; The Walrus computes a permanent for each state.",
        "",
        *table("edgekd | Perceval SLOS | Piquasso | The Walrus | edgekd, any | Perceval SLOS, any", [
            (ours, "loops", "distribution"), (theirs, "loops", "distribution"), ("piquasso", "loops", "distribution"),
            ("walrus", "loops", "distribution"), (ours, "haar", "distribution"), (theirs, "haar", "distribution"),
        ]),
        "The first call, which builds tables that later calls keep: "
        + ", ".join(f"{ms:.0f} ms at {m}" for m, ms in first.items()) + ".",
        "",
        "Largest difference of a probability from edgekd's: "
        + (", ".join(f"{ENGINES[e]} {d:.1e}" for e, d in result["differences"].items()) or "no peer here") + ".",
        "",
        "10,000 click patterns:",
        "",
        *table("edgekd | Perceval's Sampler, SLOS | Perceval's Sampler, Clifford", [
            (ours, "loops", "clicks"), (theirs, "loops", "clicks"), (theirs, "loops", "clicks, Clifford"),
        ]),
        "The histogram of two halves from 200 shots, from the angles on (for Perceval: 200 click patterns from the",
        "unitary on), and without shot noise:",
        "",
        *table("edgekd | Perceval's Sampler, SLOS | Perceval's Sampler, Clifford | edgekd, exact", [
            (ours, "loops", "histogram"), (theirs, "loops", "histogram"), (theirs, "loops", "histogram, Clifford"),
            (ours, "loops", "exact histogram"),
        ]),
        "![Time against modes](photonic.png)",
        "",
        "## Beyond",
        "",
        "First calls of edgekd, tables included, one thread; MiB that they add to the peak of a fresh process:",
        "",
        "| what | modes, photons | states | s | MiB |",
        "|---|---|---|---|---|",
        *(f"| {kind} | {m}, {m // 2} | {comb(m + m // 2 - 1, m // 2):.3g} | {s:.3g} | {mib:.0f} |"
          for kind, m, s, mib in result["limits"]),
        "",
    ])  # fmt: skip


def growth(result: dict[str, Any]) -> Figure:
    """Time of the whole distribution against modes, by engine; of 200 shots by edgekd."""
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot()
    for engine, name in ENGINES.items():
        points = [
            (m, result["ms"][engine][f"loops{m}"]["distribution"][0])
            for m in result["sizes"]
            if f"loops{m}" in result["ms"].get(engine, {})
        ]
        if points:
            axes.plot(*zip(*points, strict=True), "o-", label=f"{name}, all probabilities")
    beyond = [(m, 1e3 * s) for kind, m, s, _ in result["limits"] if kind == "200 shots"]
    shots = [(m, result["ms"]["edgekd"][f"loops{m}"]["histogram"][0]) for m in result["sizes"]]
    axes.plot(*zip(*shots, strict=True), "s--", color="C4", label="edgekd, 200 shots")
    if beyond:
        axes.plot(*zip(*beyond, strict=True), "s:", color="C4", mfc="none", label="edgekd, 200 shots, first call")
    axes.set(xlabel="modes, half of them with a photon", ylabel="ms", yscale="log")
    axes.grid(alpha=0.2)
    axes.legend(frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    main()
