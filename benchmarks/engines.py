"""int8 beside FP32 in the engines of this host: python benchmarks/engines.py [--rounds N] [NET ...]

Nets of 1 GMAC and more, weights random, batch norms and quantizers calibrated on noise: what speed depends on is there,
accuracy is not. For each engine the net is quantized in that engine's own arithmetic and placement and compiled with
its descriptor's options; every round runs each model twice and times the second, so that what disturbs the machine
disturbs all of them, and each finds its own data in the cache. One thread.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from edgekd.backends.base import Job
from edgekd.backends.registry import backend, is_installed
from edgekd.devices.local import open_session
from edgekd.evidence import host, now
from edgekd.graph.cost import count
from edgekd.graph.model import Graph
from edgekd.measure.statistics import bootstrap, percentiles
from edgekd.quantize.capture import capture
from edgekd.quantize.export import export_float, export_quantized
from edgekd.quantize.insert import calibrate, insert
from edgekd.runners.board import saturates
from edgekd.schema.io import ImageInput, IoRecord, TensorOutput
from edgekd.schema.target import Arithmetic
from edgekd.schema.targets import find_target
from edgekd.store import installed
from edgekd.students.picosam3.network import ModelConfig, PicoSam3Net
from torch import nn

from nets import NETS, AttentionNet, SegmentationNet

HOST = "x86-avx2" if saturates() else "x86"
ENGINES = {"ONNX Runtime": f"{HOST}:onnxruntime", "OpenVINO": f"{HOST}:openvino", "LiteRT": "raspberry-pi-5"}
"""Engine to the target whose arithmetic, placement and options are taken: 7-bit weights on x86 without VNNI."""
GOALS = {"ONNX Runtime": 1.8, "OpenVINO": 2.8}
FP32 = "ONNX Runtime FP32"
RANGES = [(-1.0, 1.0)]


@dataclass(frozen=True)
class Large:
    """A net at a size worth timing."""

    about: str
    build: Callable[[], nn.Module]
    shape: tuple[int, int, int, int]


LARGE = {
    "promptable": Large("PicoSAM3, 96 x 96, one region", lambda: PicoSam3Net(ModelConfig()), (1, 3, 96, 96)),
    "restoration": Large("U-Net with gates, as it ships, 512 x 512", NETS["restoration"].build, (1, 3, 512, 512)),
    "segmentation": Large("separable U-Net with gates, 512 x 512", SegmentationNet, (1, 3, 512, 512)),
    "attention": Large(
        "inverted residuals and attention, 256 x 256", lambda: AttentionNet(width=128, channels=3), (1, 3, 256, 256)
    ),
}


def prepared(net: Large) -> nn.Module:
    """The net with batch norm statistics of noise."""
    torch.manual_seed(0)
    built = net.build().train()
    with torch.no_grad():
        for _ in range(4):
            built(torch.randn(2, net.shape[1], 64, 64).clamp(-1, 1))
    return built.eval()


def record(shape: tuple[int, ...]) -> IoRecord:
    image = ImageInput(name="image", shape=shape, mean=(0.5,) * 3, std=(0.5,) * 3)
    return IoRecord(inputs=(image,), outputs=(TensorOutput(name="answer"),))


def quantized(net: nn.Module, shape: tuple[int, ...], arithmetic: Arithmetic) -> Graph:
    """Post-training, ranges of one noisy picture."""
    inserted = insert(capture(net, (torch.randn(shape),)), arithmetic, RANGES)
    calibrate(inserted, [(torch.randn(shape).clamp(-1, 1),)])
    return Graph(export_quantized(net, inserted.state(), arithmetic, RANGES, record(shape)).model)


def picture(shape: tuple[int, ...]) -> dict[str, Any]:
    return {"image": np.random.default_rng(0).normal(0, 0.5, shape).clip(-1, 1).astype(np.float32)}


def sessions(net: Large, folder: Path) -> tuple[dict[str, Any], dict[str, Any], int]:
    """A session for each engine and form, what each proves, and the net's multiply-accumulates."""
    built, x = prepared(net), picture(net.shape)
    plain = Graph(export_float(built, record(net.shape)))
    opened, facts = {}, {}
    for engine, name in ENGINES.items():
        target = find_target(name)
        if not is_installed(target.engine.backend):
            continue
        maker = backend(target.engine.backend)
        for form, graph in (("FP32", plain), ("int8", quantized(built, net.shape, target.arithmetic))):
            out = folder / f"{target.engine.backend}-{form}"
            out.mkdir()
            made = maker.compile(Job(graph, graph, [x], []), maker.Options.model_validate(target.engine.options), out)
            opened[f"{engine} {form}"] = open_session(made.runner or "", out / made.model, made.options)
            facts[f"{engine} {form}"] = made.facts
    return opened, facts, count(plain).macs


def timed(opened: dict[str, Any], x: dict[str, Any], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of the second of two runs, every model in each round."""
    from time import perf_counter

    fed = {name: session.feed(x) for name, session in opened.items()}
    times: dict[str, list[float]] = {name: [] for name in opened}
    for i in range(2 + rounds):
        for name, session in opened.items():
            session.call(fed[name])
            start = perf_counter()
            session.call(fed[name])
            if i >= 2:
                times[name].append((perf_counter() - start) * 1e3)
    return times


def ratio(slow: list[float], fast: list[float]) -> dict[str, float]:
    """Of medians, with a 95 % bootstrap interval over rounds."""
    rows = np.array([slow, fast]).T
    low, high = bootstrap(rows, lambda r: float(np.median(r[:, 0]) / np.median(r[:, 1])))
    return {"ratio": float(np.median(slow) / np.median(fast)), "low": low, "high": high}


def measure(net: Large, rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        opened, facts, macs = sessions(net, Path(folder))
        times = timed(opened, picture(net.shape), rounds)
    rows = []
    for engine in ENGINES:
        if f"{engine} int8" in times:
            own, int8 = (times[f"{engine} {form}"] for form in ("FP32", "int8"))
            rows.append({
                "engine": engine, "fp32": percentiles(own), "int8": percentiles(int8), "own": ratio(own, int8),
                "onnxruntime": ratio(times[FP32], int8), "facts": facts[f"{engine} int8"],
            })  # fmt: skip
    return {"about": net.about, "macs": macs, "rounds": rounds, "load": os.getloadavg(), "rows": rows}


def told(r: dict[str, float]) -> str:
    return f"{r['ratio']:.2f} ({r['low']:.2f} to {r['high']:.2f})"


def in_int8(facts: dict[str, Any]) -> str:
    """The share of MACs, or of operators where the engine tells only those."""
    if "share of MACs in int8" in facts:
        return f"{100 * facts['share of MACs in int8']:.0f} %"
    return f"{facts['of them in XNNPACK']} of {facts['operators']} operators in XNNPACK"


def table(result: dict[str, Any], command: str) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    lines = [
        "# int8 beside FP32", "",
        f"`{command}`, {result['when']}, {result['host']}; {versions}. One thread, {result['rounds']} rounds in turns;",
        "milliseconds of one inference, median and least; ratios of medians with their 95 % interval.", "",
        "| net | GMAC | engine | FP32 | int8 | FP32 / int8 | ONNX Runtime's FP32 / int8 | goal | MACs in int8 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name, net in result["nets"].items():
        for row in net["rows"]:
            fp32, int8 = (f"{row[form]['p50']:.1f}, {row[form]['min']:.1f}" for form in ("fp32", "int8"))
            lines.append(
                f"| {name} | {net['macs'] / 1e9:.2f} | {row['engine']} | {fp32} | {int8} | {told(row['own'])} | "
                f"{told(row['onnxruntime'])} | {GOALS.get(row['engine'], '')} | "
                f"{in_int8(row['facts'])} |"
            )
    nets = [f"- {name}: {net['about']}; load average {net['load'][0]:.1f}" for name, net in result["nets"].items()]
    return "\n".join([*lines, "", *nets, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", metavar="NET", default=list(LARGE), help=f"of {', '.join(LARGE)}")
    parser.add_argument("--rounds", type=int, default=100)
    given = parser.parse_args()
    torch.set_num_threads(1)
    nets = {name: measure(LARGE[name], given.rounds) for name in given.nets}
    versions = {n: installed(n) for n in ("onnxruntime", "openvino", "torch", "numpy")}
    result = {"host": host(), "when": now(), "versions": versions, "rounds": given.rounds, "nets": nets}
    text = table(result, "python benchmarks/engines.py")
    if list(nets) == list(LARGE) and given.rounds >= 100:
        results = Path(__file__).parent / "results"
        (results / "engines.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        (results / "engines.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
