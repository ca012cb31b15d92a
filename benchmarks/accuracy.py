"""What each arithmetic costs, by PTQ and by QAT, beside its controls: python benchmarks/accuracy.py [STUDENT ...]

For each student and seed one run of the product itself, with these arms: FP32; FP32 tuned as long as QAT; PTQ of ours,
of ONNX Runtime and of NNCF; QAT; in W8A8 symmetric, affine and power-of-two, in W4A8 and W4A4 (simulated). Target
`x86:onnxruntime`, whose placement quantizes most operators. Every arm is scored by the integer reference on the whole
evaluation set; `tfl_double` scores the same graphs in the other rounding. Differences are paired by seed and sample,
intervals are 95 % bootstrap over samples of the means over seeds.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from edgekd.evidence import host, now
from edgekd.graph import golden
from edgekd.graph.model import Graph, read_model
from edgekd.measure.statistics import bootstrap
from edgekd.pipeline import Result, run
from edgekd.schema.load import merge, parse
from edgekd.schema.recipe import FLOAT, Recipe
from edgekd.schema.recipes import load_recipe
from edgekd.schema.targets import find_target
from edgekd.store import installed
from edgekd.students.registry import bundled_task, find_recipe
from edgekd.verify.scores import score

SEEDS = (0, 1, 2)
SYMMETRIC = {"activations": {"signed": True, "symmetric": True}}
ARITHMETICS: dict[str, dict[str, Any]] = {
    "W8A8 symmetric": SYMMETRIC,
    "W8A8 affine": {},
    "W8A8 power of two": {"weights.scale": "power-of-two", "activations.scale": "power-of-two"},
    "W4A8": {"weights": {"bits": 4}, "simulated": True},
    "W4A4": {"weights": {"bits": 4}, "activations": {"bits": 4}, "simulated": True},
}
SETTINGS = {"W4A4": {"quantize.calibration.method": "mse"}}
TOOLS = {"ptq-onnxruntime": "PTQ, ONNX Runtime", "ptq-nncf": "PTQ, NNCF"}
OUT = Path(os.environ.get("EDGEKD_BENCH_RUNS", "runs/accuracy"))


def slug(name: str) -> str:
    return name.lower().replace(" ", "-")


def arms() -> dict[str, dict[str, Any]]:
    out: dict[str, dict[str, Any]] = {
        "fp32": {"method": "teach", "title": "FP32"},
        "fp32-tuned": {"method": "tune", "title": "FP32, tuned equally long"},
    }
    for name, arithmetic in ARITHMETICS.items():
        for method in ("ptq", "qat"):
            out[f"{method}-{slug(name)}"] = {
                "method": method, "title": f"{name}, {method.upper()}", "arithmetic": arithmetic,
                "set": SETTINGS.get(name, {}),
            }  # fmt: skip
        if name in ("W8A8 symmetric", "W8A8 affine"):
            for method, title in TOOLS.items():
                key = f"{method}-{slug(name)}"
                out[key] = {"method": method, "title": f"{name}, {title}", "arithmetic": arithmetic}
    return out


def recipe(student: str, seed: int) -> Recipe:
    table = load_recipe(find_recipe(student), {}).model_dump(mode="json", by_alias=True)
    table |= {"arms": arms(), "ship": "qat-w8a8-affine", "seed": seed}
    steps = {"quantize": {"steps": 2 * table["quantize"]["steps"]}}
    return parse(Recipe, merge(table, steps), student)


def other_rounding(result: Result) -> dict[str, tuple[float, ...]]:
    """The quantized arms in `tfl_double`."""
    manifest, bundle = result.bundle.manifest, result.bundle
    task = bundled_task(bundle)
    out = {}
    for name, arm in manifest.arms.items():
        if arm.method not in FLOAT:
            graph = Graph(read_model(bundle.path / arm.graph))
            run = partial(golden.run, graph, rounding="tfl_double")
            scores = score(name, task, graph.io, task.evalset(), partial(map, run))
            out[name] = scores.values[task.metric]
    return out


def collect(student: str) -> dict[str, Any]:
    values: dict[str, list[tuple[float, ...]]] = {}
    others: dict[str, list[tuple[float, ...]]] = {}
    titles: dict[str, str] = {}
    for seed in SEEDS:
        result = run(recipe(student, seed), find_target("x86:onnxruntime"), OUT)
        metric = bundled_task(result.bundle).metric
        titles |= {name: arm.title for name, arm in result.bundle.manifest.arms.items()}
        for name in result.bundle.manifest.arms:
            values.setdefault(name, []).append(result.verification.scores[name].values[metric])
        for name, found in other_rounding(result).items():
            others.setdefault(name, []).append(found)
        print(student, "seed", seed, result.folder, flush=True)
    return {"student": student, "metric": metric, "titles": titles, "values": values, "tfl_double": others}


def difference(a: list[Any], b: list[Any]) -> tuple[float, float, float]:
    """Mean of a - b and its interval."""
    by_sample = (np.array(a) - np.array(b)).mean(0)
    low, high = bootstrap(by_sample, lambda rows: float(rows.mean()))
    return float(by_sample.mean()), low, high


def rows(found: dict[str, Any]) -> list[list[str]]:
    values, others, titles = found["values"], found["tfl_double"], found["titles"]
    out = []
    for name, runs in values.items():
        seeds = [float(np.mean(r)) for r in runs]
        method, _, arithmetic = name.partition("-")
        against = {"qat": f"ptq-{arithmetic}"}.get(method)
        cells = [titles[name], f"{np.mean(seeds):.2f}", f"{np.std(seeds, ddof=1):.2f}"]
        for a, b in ((name, "fp32"), (name, against)):
            cells.append(
                "" if b is None or a == b else "{:+.2f} [{:+.2f}, {:+.2f}]".format(*difference(values[a], values[b]))
            )
        cells.append(f"{np.mean(others[name]) - np.mean(runs):+.3f}" if name in others else "")
        out.append(cells)
    return out


def table(result: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    lines = [
        "# Accuracy of each arithmetic",
        "",
        f"`python benchmarks/accuracy.py`, {result['when']}; seeds {', '.join(map(str, result['seeds']))}.",
        f"{result['host']}; {versions}.",
        "",
        "Mean over seeds and samples, scored by the integer reference; sd over the seeds' means; paired",
        "differences with 95 % bootstrap intervals over samples. Last column: the same graphs in `tfl_double`.",
        "W4A8 and W4A4 are simulated: their codes are stored in 8 bits.",
        "",
    ]
    for found in result["students"]:
        lines += [
            f"## {found['student']}, {found['metric']}",
            "",
            "| arm | mean | sd | against FP32 | QAT against PTQ | tfl_double |",
            "|---|---|---|---|---|---|",
        ]
        lines += ["| " + " | ".join(cells) + " |" for cells in rows(found)] + [""]
    return "\n".join(lines)


def main() -> None:
    students = sys.argv[1:] or ["qdr", "classifier"]
    result = {
        "host": host(), "when": now(), "seeds": SEEDS, "students": [collect(name) for name in students],
        "versions": {n: installed(n) for n in ("torch", "onnxruntime", "nncf", "numpy")},
    }  # fmt: skip
    results = Path(__file__).parent / "results"
    (results / "accuracy.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (results / "accuracy.md").write_text(table(result), encoding="utf-8")


if __name__ == "__main__":
    main()
