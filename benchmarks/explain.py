"""What `explain` predicts beside what its change saves: python benchmarks/explain.py [--runs N]

Each case is a net with a problem. `explain` times its layers and predicts the saving of the findings it is about; then
the change is made, and both forms run in turns in the same process. One thread.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from edgekd.backends.base import Job
from edgekd.backends.registry import backend
from edgekd.devices.local import open_session
from edgekd.evidence import host, now
from edgekd.explain.findings import Finding
from edgekd.explain.run import explain_here
from edgekd.explain.sources import noise
from edgekd.graph.model import Graph, with_constants
from edgekd.graph.rewrite import float_biases
from edgekd.schema.targets import find_target
from edgekd.store import installed
from torch import nn

from engines import LARGE, Large, prepared, quantized, ratio, timed
from nets import conv

ORT, OV = "x86:onnxruntime", "x86:openvino"


class Stack(nn.Module):
    """Convolutions of equal width, behind them an activation and ReLU in turns."""

    def __init__(self, activation: type[nn.Module], width: int = 32) -> None:
        super().__init__()
        chosen = (nn.ReLU, activation, nn.ReLU, activation)
        layers = [nn.Sequential(conv(3 if i == 0 else width, width), act()) for i, act in enumerate(chosen)]
        self.body = nn.Sequential(*layers, nn.Conv2d(width, 16, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


def stack(activation: type[nn.Module]) -> Large:
    return Large("four convolutions of 32 channels", lambda: Stack(activation), (1, 3, 192, 192))


@dataclass(frozen=True)
class Case:
    """A problem, and the same net without it; the findings whose prediction is checked."""

    about: str
    engine: str
    before: Callable[[], Graph]
    after: Callable[[], Graph]
    counts: Callable[[Finding], bool]
    options: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    """Engine options before and after, over the descriptor's."""


def placed(net: Large, target: str) -> Graph:
    return quantized(prepared(net), net.shape, find_target(target).arithmetic)


def stretched(graph: Graph) -> Graph:
    """Scales behind each Clip such that codes reach 7, beyond its limit."""
    graph = Graph(float_biases(graph))  # whose grid would be another one
    readers = [r for n in graph.nodes if n.op_type == "Clip" for r in graph.readers[n.output[0]]]
    scales = {r.input[1] for r in readers if r.op_type == "QuantizeLinear"}
    return Graph(with_constants(graph.model, dict.fromkeys(scales, np.array(7 / 255, np.float32))))


def bare(graph: Graph, count: int) -> Graph:
    """Without the pair on the input of the `count`-th convolution."""
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    node = [n for n in model.graph.node if n.op_type == "Conv"][count]
    dequantize = graph.maker[node.input[0]]
    node.input[0] = graph.maker[dequantize.input[0]].input[0]
    return Graph(model)


def in_float(finding: Finding) -> bool:
    return finding.kind in ("float layer", "float island", "quantize")


CASES = {
    "pairs missing at the gates": Case(
        "segmentation net placed for OpenVINO, run by ONNX Runtime", ORT,
        lambda: placed(LARGE["segmentation"], OV), lambda: placed(LARGE["segmentation"], ORT), in_float,
    ),
    "GELU": Case("four convolutions; ReLU instead", ORT, lambda: placed(stack(nn.GELU), ORT),
                 lambda: placed(stack(nn.ReLU), ORT), in_float),
    "ReLU6 that codes exceed": Case("four convolutions; a scale that fits", ORT,
                                    lambda: stretched(placed(stack(nn.ReLU6), ORT)),
                                    lambda: placed(stack(nn.ReLU6), ORT), in_float),
    "pair missing on one input": Case("four convolutions; the pair put back", ORT,
                                      lambda: bare(placed(stack(nn.ReLU), ORT), 2),
                                      lambda: placed(stack(nn.ReLU), ORT), in_float),
    "pair missing on one input, OpenVINO": Case("four convolutions; the pair put back", OV,
                                                lambda: bare(placed(stack(nn.ReLU), OV), 2),
                                                lambda: placed(stack(nn.ReLU), OV), in_float),
    "narrow channels, spread gates, Resize": Case(
        "restoration net; the engine option `fit`", ORT, lambda: placed(LARGE["restoration"], ORT),
        lambda: placed(LARGE["restoration"], ORT), lambda f: f.kind == "slow layer", ({"fit": False}, {"fit": True}),
    ),
    "int8 activations": Case(
        "segmentation net with int8 codes; the engine option `unsigned`", ORT,
        lambda: placed(LARGE["segmentation"], "raspberry-pi-5:onnxruntime"),
        lambda: placed(LARGE["segmentation"], "raspberry-pi-5:onnxruntime"),
        lambda f: True, ({"unsigned": False, "fit": False}, {"unsigned": True, "fit": False}),
    ),
}  # fmt: skip


def measure(case: Case, runs: int) -> dict[str, Any]:
    engine = find_target(case.engine).engine
    forms = [(case.before(), engine.options | case.options[0]), (case.after(), engine.options | case.options[1])]
    found = explain_here(forms[0][0], engine.backend, forms[0][1], noise(forms[0][0]), runs)
    told = [f for f in found.findings if case.counts(f)]
    predicted = sum(f.saving or 0.0 for f in told)
    unknown = sum(f.saving is None and f.kind in ("float layer", "slow layer") for f in told)
    maker, opened = backend(engine.backend), {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (graph, options) in zip(("before", "after"), forms, strict=True):
            out = Path(folder) / name
            out.mkdir()
            made = maker.compile(Job(graph, graph, [noise(graph)], []), maker.Options.model_validate(options), out)
            opened[name] = open_session(made.runner or "", out / made.model, made.options)
        times = timed(opened, noise(forms[0][0]), runs)
    before, after = (float(np.median(times[name])) for name in ("before", "after"))
    return {
        "about": case.about, "engine": found.tool, "findings": len(told), "unknown": unknown, "before": before,
        "after": after, "predicted": predicted, "achieved": before - after,
        "faster": ratio(times["before"], times["after"]), "layers": found.layers_ms,
    }  # fmt: skip


def table(result: dict[str, Any], command: str) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    lines = [
        "# Predicted and achieved savings", "",
        f"`{command}`, {result['when']}, {result['host']}; {versions}. One thread, {result['runs']} runs in turns;",
        "medians, milliseconds of one inference. Unknown: findings without a prediction, for no layer of the run is",
        "alike. Shares: predicted of the sum of layers, achieved of the whole; the load hardly shifts them.",
        "",
        "| problem | net, and change | engine | findings | unknown | before | after | predicted | achieved | shares |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name, r in result["cases"].items():
        lines.append(
            f"| {name} | {r['about']} | {r['engine']} | {r['findings']} | {r['unknown']} | "
            f"{r['before']:.2f} | {r['after']:.2f} | {r['predicted']:.2f} | {r['achieved']:.2f} | "
            f"{100 * r['predicted'] / r['layers']:.0f} %, {100 * r['achieved'] / r['before']:.0f} % |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", default=list(CASES))
    parser.add_argument("--runs", type=int, default=60)
    given = parser.parse_args()
    torch.set_num_threads(1)
    cases = {name: measure(CASES[name], given.runs) for name in given.cases}
    versions = {n: installed(n) for n in ("onnxruntime", "openvino", "torch", "numpy")}
    result = {"host": host(), "when": now(), "versions": versions, "runs": given.runs, "cases": cases}
    text = table(result, "python benchmarks/explain.py")
    if list(cases) == list(CASES) and given.runs >= 20:
        results = Path(__file__).parent / "results"
        (results / "explain.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        (results / "explain.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
