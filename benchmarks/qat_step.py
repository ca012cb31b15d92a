"""What a training step costs, float, ours and torchao's PT2E: python benchmarks/qat_step.py [ROUNDS]

The restoration and the segmentation net, one batch again and again, all variants in turns in one process; first the
CPU time of one thread, then the wall time of two. The float step stands in three forms: as it comes, channels-last, and
channels-last under bfloat16 autocast. Ours learns every step size, PT2E follows ranges by moving averages; both are
channels-last.

PT2E is a second opinion in an environment of its own:
`pip install -c constraints.txt -e '.[train]' torchao==0.18.0`; without it its rows are left out, and the table says so.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from edgekd.evidence import host, now
from edgekd.quantize.capture import capture
from edgekd.quantize.insert import calibrate, insert
from edgekd.schema.targets import find_target
from edgekd.store import installed
from torch import Tensor, nn

from nets import NETS, Batch, Net

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 15
TARGET = find_target("x86:onnxruntime").arithmetic
Step = Callable[[], None]
WEIGHTED = ("conv2d.default", "linear.default")
FUSED = ("relu.default", "relu_.default", "batch_norm.default")
POINTS = (*WEIGHTED, *FUSED, "add.Tensor", "mul.Tensor", "sigmoid.default", "upsample_nearest2d.vec")


def step(net: Any, parameters: list[nn.Parameter], task: Net, batch: Batch, autocast: bool = False) -> Step:
    """One step of Adam on `batch`."""
    optimizer = torch.optim.Adam([p for p in parameters if p.requires_grad], lr=1e-4, fused=True)

    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            out = net(batch["x"])
        out = out if isinstance(out, Tensor) else out[0]
        optimizer.zero_grad()
        task.loss(out.float(), batch).backward()
        optimizer.step()

    return run


def ours(task: Net, batch: Batch, scale: str, frozen: bool = False) -> Step:
    """The step that `edgekd compress` takes, in the arithmetic of ONNX Runtime on x86."""
    net = task.build().to(memory_format=torch.channels_last)
    parts = {"weights": TARGET.weights, "activations": TARGET.activations}
    arithmetic = TARGET.model_copy(update={n: p.model_copy(update={"scale": scale}) for n, p in parts.items()})
    quantized = insert(capture(net, (batch["x"],)), arithmetic, [(-1.0, 1.0)])
    calibrate(quantized, [(batch["x"],)])
    quantized.module.train()
    if frozen:
        quantized.freeze()
    return step(quantized.module, list(quantized.module.parameters()), task, batch)


def pt2e(task: Net, batch: Batch) -> Step:
    """torchao's flow with moving-average fake quantizers: u8 activations, s8 weights per channel, the same places."""
    from torchao.quantization.pt2e import FusedMovingAvgObsFakeQuantize as Fake
    from torchao.quantization.pt2e import MovingAverageMinMaxObserver, MovingAveragePerChannelMinMaxObserver
    from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e
    from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, QuantizationSpec, Quantizer

    active = QuantizationSpec(
        torch.uint8, Fake.with_args(observer=MovingAverageMinMaxObserver), 0, 255, torch.per_tensor_affine
    )
    weight = QuantizationSpec(
        torch.int8, Fake.with_args(observer=MovingAveragePerChannelMinMaxObserver, ch_axis=0),
        -127, 127, torch.per_channel_symmetric, ch_axis=0,
    )  # fmt: skip

    class Everywhere(Quantizer):
        """Every operator's output, no pair inside Conv, batch norm, ReLU."""

        def annotate(self, model: Any) -> Any:
            for node in model.graph.nodes:
                name = str(node.target).removeprefix("aten.")
                if name not in POINTS:
                    continue
                inputs = {a: active for a in node.all_input_nodes if a.op == "placeholder"}
                if name in WEIGHTED:
                    inputs = {node.args[0]: active, node.args[1]: weight}
                fused = len(node.users) == 1 and str(next(iter(node.users)).target).removeprefix("aten.") in FUSED
                node.meta["quantization_annotation"] = QuantizationAnnotation(
                    input_qspec_map=inputs, output_qspec=None if fused else active, _annotated=True
                )
            return model

        def validate(self, model: Any) -> None:
            return None

    net = task.build().to(memory_format=torch.channels_last)
    exported = torch.export.export(net.train(), (batch["x"],), strict=False).module(check_guards=False)
    prepared = prepare_qat_pt2e(exported, Everywhere())
    prepared(batch["x"])
    return step(prepared, list(prepared.parameters()), task, batch)


def variants(task: Net) -> Iterator[tuple[str, Step]]:
    batch = task.batch(0, task.size)
    last = batch | {"x": batch["x"].contiguous(memory_format=torch.channels_last)}
    plain = batch | {"x": batch["x"].contiguous()}
    nets = [task.build().train() for _ in range(3)]
    for net in nets[1:]:
        net.to(memory_format=torch.channels_last)
    yield "float, NCHW", step(nets[0], list(nets[0].parameters()), task, plain)
    yield "float, channels-last", step(nets[1], list(nets[1].parameters()), task, last)
    yield "float, channels-last, bf16 autocast", step(nets[2], list(nets[2].parameters()), task, last, autocast=True)
    yield "QAT, learned scales", ours(task, last, "real")
    yield "QAT, power-of-two scales", ours(task, last, "power-of-two")
    yield "QAT, ranges and statistics frozen", ours(task, last, "real", frozen=True)
    if installed("torchao") != "absent":
        yield "torchao PT2E", pt2e(task, last)


def clocked(run: Step, clock: Callable[[], float]) -> float:
    begin = clock()
    run()
    return clock() - begin


def measure(steps: dict[str, Step], threads: int, clock: Callable[[], float]) -> dict[str, dict[str, float]]:
    """Median and least seconds of `ROUNDS` steps each, in turns, after two that do not count."""
    torch.set_num_threads(threads)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS + 2):
        for name, run in steps.items():
            seconds[name].append(clocked(run, clock))
    return {n: {"median": statistics.median(v[2:]), "least": min(v[2:])} for n, v in seconds.items()}


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield "| net | step | CPU, 1 thread: median, least (s) | / float | wall, 2 threads: median, least (s) | / float |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        cells = [row["net"], row["step"]]
        for kind in ("cpu", "wall"):
            cells += [f"{row[kind]['median']:.3f}, {row[kind]['least']:.3f}", f"{row[kind]['ratio']:.2f}"]
        yield "| " + " | ".join(cells) + " |"


def main() -> None:
    rows, load = [], os.getloadavg()
    for name in ("restoration", "segmentation"):
        torch.manual_seed(0)
        steps = dict(variants(NETS[name]))
        cpu, wall = measure(steps, 1, time.process_time), measure(steps, 2, time.perf_counter)
        for variant in steps:
            base = "float, channels-last"
            rows.append({"net": name, "step": variant} | {
                kind: found[variant] | {"ratio": found[variant]["least"] / found[base]["least"]}
                for kind, found in (("cpu", cpu), ("wall", wall))
            })  # fmt: skip
        print(*list(table(rows))[-len(steps) :], sep="\n", flush=True)
    result = {
        "host": host(), "when": now(), "rounds": ROUNDS, "load average before": load, "after": os.getloadavg(),
        "versions": {n: installed(n) for n in ("torch", "torchao")}, "rows": rows,
    }  # fmt: skip
    folder = Path(__file__).parent / "results"
    (folder / "qat_step.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (folder / "qat_step.md").write_text("\n".join([
        "# What a training step costs", "",
        f"`python benchmarks/qat_step.py {ROUNDS}`, {result['when']}, {result['host']}, "
        f"torch {result['versions']['torch']}, torchao {result['versions']['torchao']}"
        f"{'' if installed('torchao') != 'absent' else ' (its rows are left out: it is not installed)'}; load average "
        f"{load[0]:.1f} before, {result['after'][0]:.1f} after.", "",
        "Ratios are of the least times, against the float step in channels-last.", "", *table(rows), "",
    ]), encoding="utf-8")  # fmt: skip


if __name__ == "__main__":
    main()
