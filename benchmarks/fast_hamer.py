"""Every student of Fast-HaMeR beside HaMeR: python benchmarks/fast_hamer.py [--rounds N] [NAME ...]

Each backbone with the authors' decoder and with a narrow one, in the form that is deployed, at their 256 x 256 pixels,
against the ViT-H teacher, whose input is the same crop: parameters, multiply-accumulates, bytes, and milliseconds in
ONNX Runtime, FP32 and int8. Weights are random: what speed depends on is there, accuracy is not. int8 is this CPU's
arithmetic, calibrated on noise. Every round runs each model twice and times the second; one thread. The teacher needs
12 GB of memory and writes 2.7 GB below the folder for temporary files. It takes 25 minutes.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from edgekd.backends.base import Job
from edgekd.backends.registry import backend
from edgekd.devices.local import open_session
from edgekd.evidence import host, now
from edgekd.graph.cost import count
from edgekd.graph.model import Graph
from edgekd.measure.statistics import percentiles
from edgekd.quantize.capture import capture
from edgekd.quantize.export import export_float, export_quantized
from edgekd.quantize.insert import calibrate, insert
from edgekd.schema.targets import find_target
from edgekd.store import installed
from edgekd.students.fast_hamer.config import HeadConfig, ModelConfig
from edgekd.students.fast_hamer.network import HandNet, fold
from edgekd.students.fast_hamer.task import HandTask
from edgekd.students.fast_hamer.teachers.hamer_net import HamerNet
from torch import nn

from engines import HOST, ratio, told

SIDE = 256
NARROW = HeadConfig(depth=3, width=256, heads=4, head_width=64, hidden=512)
BACKBONES = (
    "nano", "mobilenet-v3-large", "mobilevit-s", "resnet-50", "resnet-101", "convnext-tiny", "convnext-large",
)  # fmt: skip
HEADS = {"authors'": HeadConfig(), "narrow": NARROW}
TEACHER = "HaMeR, ViT-H"
GOAL = ("mobilenet-v3-large", "narrow", 0.02, 90.0)
"""Most parameters, as a share of the teacher's, and least times as fast, FP32."""


@dataclass
class Timed:
    """A model that is open, and what is known of it."""

    backbone: str
    head: str
    form: str
    params: int
    macs: int
    size: int
    run: Any


class Teacher:
    """HaMeR in ONNX Runtime; its graph is too large for one protobuf message, so its weights lie beside it."""

    def __init__(self, folder: Path) -> None:
        torch.manual_seed(0)
        net = HamerNet().eval()
        self.params = sum(p.numel() for p in net.parameters())
        path = folder / "hamer.onnx"
        crop = (torch.zeros(1, 3, SIDE, SIDE),)
        torch.onnx.export(net, crop, path, dynamo=True, external_data=True, opset_version=18, input_names=["crop"])
        del net
        gc.collect()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.size = sum(file.stat().st_size for file in folder.glob("hamer*"))
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def call(self, feeds: dict[str, Any]) -> Any:
        return self.session.run(None, feeds)


def student(backbone: str, head: HeadConfig) -> nn.Module:
    """The deployed form, batch norms with statistics of noise."""
    torch.manual_seed(0)
    net = HandNet(ModelConfig(backbone=backbone, head=head)).train()  # type: ignore[arg-type]
    with torch.no_grad():
        for _ in range(2):
            net.backbone(torch.randn(2, 3, 128, 128))
    return fold(net.eval())


def opened(name: str, title: str, folder: Path) -> list[Timed]:
    """FP32 and int8 of a student."""
    net, io = student(name, HEADS[title]), HandTask({}, 0).io((SIDE, SIDE))
    params, x = sum(p.numel() for p in net.parameters()), picture()
    target = find_target(f"{HOST}:onnxruntime")
    maker, ranges = backend("onnxruntime"), [io.inputs[0].ends]
    plain = Graph(export_float(net, io))
    inserted = insert(capture(net, (torch.from_numpy(x["crop"]),)), target.arithmetic, ranges)
    calibrate(inserted, [(torch.from_numpy(x["crop"]),)])
    whole = Graph(export_quantized(net, inserted.state(), target.arithmetic, ranges, io).model)
    out = []
    for form, graph in (("FP32", plain), ("int8", whole)):
        place = folder / f"{name}-{title[:3]}-{form}"
        place.mkdir()
        made = maker.compile(Job(graph, graph, [x], []), maker.Options.model_validate(target.engine.options), place)
        session = open_session(made.runner or "", place / made.model, made.options)
        size = (place / made.model).stat().st_size
        out.append(Timed(name, title, form, params, count(graph).macs, size, session))
    return out


def picture() -> dict[str, Any]:
    return {"crop": np.random.default_rng(0).normal(0, 1, (1, 3, SIDE, SIDE)).clip(-2, 2).astype(np.float32)}


def timed(teacher: Teacher, models: list[Timed], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of the second of two runs; every model in each round, the teacher first."""
    from time import perf_counter

    x = picture()
    calls = {TEACHER: lambda: teacher.call(x)}
    for m in models:
        fed = m.run.feed(x)
        calls[f"{m.backbone} {m.head} {m.form}"] = lambda m=m, fed=fed: m.run.call(fed)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(1 + rounds):
        for name, call in calls.items():
            call()
            start = perf_counter()
            call()
            if i:
                times[name].append((perf_counter() - start) * 1e3)
    return times


def table(result: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    base = result["teacher"]
    lines = [
        "# Fast-HaMeR's students beside HaMeR", "",
        f"`{result['command']}`, {result['when']}, {result['host']}; {versions}; load average {result['load'][0]:.1f}.",
        f"One thread, {result['rounds']} rounds in turns, {SIDE} x {SIDE} pixels; medians, ratios of medians with a",
        "95 % interval over rounds. Parameters are those of the deployed form; weights are random.", "",
        "| backbone | decoder | parameters, M | of HaMeR's | GMAC | FP32, MB | int8, MB | FP32, ms | int8, ms | "
        "HaMeR / FP32 | HaMeR / int8 |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        f"| {TEACHER} | authors' | {base['params'] / 1e6:.1f} | | | {base['size'] / 1e6:.0f} | | "
        f"{base['ms']['p50']:.0f} | | | |",
    ]  # fmt: skip
    for r in result["rows"]:
        lines.append(
            f"| {r['backbone']} | {r['head']} | {r['params'] / 1e6:.2f} | {r['params'] / base['params']:.2%} | "
            f"{r['macs'] / 1e9:.2f} | {r['fp32']['size'] / 1e6:.1f} | {r['int8']['size'] / 1e6:.1f} | "
            f"{r['fp32']['ms']['p50']:.1f} | {r['int8']['ms']['p50']:.1f} | {told(r['fp32']['times'])} | "
            f"{told(r['int8']['times'])} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", default=list(BACKBONES))
    parser.add_argument("--rounds", type=int, default=10)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        teacher = Teacher(folder)
        models = [m for backbone in given.names for head in HEADS for m in opened(backbone, head, folder)]
        gc.collect()
        times = timed(teacher, models, given.rounds)
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for m in models:
        ms = times[f"{m.backbone} {m.head} {m.form}"]
        row = rows.setdefault((m.backbone, m.head), {"backbone": m.backbone, "head": m.head, "params": m.params})
        row |= {"macs": m.macs} if m.form == "FP32" else {}
        row[m.form.lower()] = {"ms": percentiles(ms), "size": m.size, "times": ratio(times[TEACHER], ms)}
    versions = {n: installed(n) for n in ("onnxruntime", "torch", "transformers", "numpy")}
    result = {
        "command": "python benchmarks/fast_hamer.py", "host": host(), "when": now(), "versions": versions,
        "rounds": given.rounds, "load": os.getloadavg(), "rows": list(rows.values()),
        "teacher": {"params": teacher.params, "size": teacher.size, "ms": percentiles(times[TEACHER])},
    }  # fmt: skip
    text = table(result)
    print(text)
    if given.names == list(BACKBONES):
        results = Path(__file__).parent / "results"
        (results / "fast_hamer.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        (results / "fast_hamer.md").write_text(text, encoding="utf-8")
    if (GOAL[0], GOAL[1]) in rows:
        row = rows[GOAL[0], GOAL[1]]
        share, times_ = row["params"] / teacher.params, row["fp32"]["times"]["ratio"]
        print(
            f"goal: {share:.2%} of the parameters (at most {GOAL[2]:.0%}), {times_:.0f} times as fast ({GOAL[3]:.0f})"
        )


if __name__ == "__main__":
    main()
