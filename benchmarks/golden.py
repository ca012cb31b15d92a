"""What the golden interpreter costs beside torch and ONNX Runtime: python benchmarks/golden.py [ROUNDS]

The restoration net XS at 256 x 256, about 1 GMAC, random weights, calibrated on noise, symmetric s8. Every engine lives
in a process of its own, one thread, so that no thread pool waits in another's way. Time: the median over rounds in
which every engine takes its turn. Memory: the growth of the process's peak resident size over its first inference.
`compare` is the parity check of 8 images against ONNX Runtime's codes. Speed tells nothing about accuracy, so nothing
is trained. Linux only (`/proc`).
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import onnx
import torch
from edgekd.evidence import host, now
from edgekd.graph import golden
from edgekd.graph.cost import count
from edgekd.graph.model import Array, Graph, read_model
from edgekd.quantize.capture import capture
from edgekd.quantize.export import export_float, export_quantized
from edgekd.quantize.insert import calibrate, insert
from edgekd.runners import ort
from edgekd.schema.targets import find_target
from edgekd.store import installed
from edgekd.students.qdr.network import RestorationNet
from edgekd.students.qdr.task import DenoiseTask
from edgekd.verify.parity import compare

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 7
IMAGES, SIZE = 8, (256, 256)
GOLDEN = ("golden, rne_f32", "golden, tfl_double")
ENGINES = ("torch, float", "ONNX Runtime, float", "ONNX Runtime, int8, unoptimised", *GOLDEN)
Run = Callable[[dict[str, Array]], Any]


def write(folder: Path) -> None:
    """The float net as a torch file and an ONNX file, and the portable graph."""
    torch.manual_seed(0)
    net, io = RestorationNet("xs", "spatial"), DenoiseTask({}, 0).io(SIZE)
    for fresh in (net.head, *(gate.mask for gate in net.gate)):  # zeros before training
        torch.nn.init.normal_(fresh.weight, std=0.01)
    arithmetic, ranges, noise = find_target("jetson").arithmetic, [(-1.0, 1.0)], torch.rand(4, 3, 64, 64) * 2 - 1
    quantized = insert(capture(net, (noise,)), arithmetic, ranges)
    calibrate(quantized, [(noise,)])
    onnx.save(export_float(net, io), folder / "float.onnx")
    onnx.save(export_quantized(net, quantized.state(), arithmetic, ranges, io).model, folder / "int8.onnx")
    torch.save(net.state_dict(), folder / "net.pt")


def load(engine: str, folder: Path) -> Run:
    if engine == "torch, float":
        net = RestorationNet("xs", "spatial").eval()
        net.load_state_dict(torch.load(folder / "net.pt"))
        return lambda x: net(torch.from_numpy(x["image"]))
    if engine == "ONNX Runtime, float":
        return ort.Session(folder / "float.onnx", threads=1).run
    if engine == "ONNX Runtime, int8, unoptimised":
        return ort.Session(folder / "int8.onnx", optimise=False, threads=1).run
    graph, rounding = Graph(read_model(folder / "int8.onnx")), engine.removeprefix("golden, ")
    return lambda x: golden.run(graph, x, rounding=rounding)


def images() -> list[dict[str, Array]]:
    rng = np.random.default_rng(0)
    return [{"image": rng.uniform(-1, 1, (1, 3, *SIZE)).astype(np.float32)} for _ in range(IMAGES)]


def timed(function: Callable[[], Any]) -> float:
    start = perf_counter()
    function()
    return perf_counter() - start


def peak() -> int:
    """Peak resident size of this process, KiB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


@cache
def loaded(engine: str, folder: Path) -> tuple[Run, float]:
    """An engine, and the MiB by which its first inference raises the peak of its process."""
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    run, before = load(engine, folder), peak()
    run(images()[0])
    return run, (peak() - before) / 1024


def turn(engine: str, folder: Path) -> tuple[float, float]:
    """Seconds of one inference behind one that warms up; MiB."""
    run, mebibytes = loaded(engine, folder)
    image = images()[0]
    run(image)
    return timed(lambda: run(image)), mebibytes


def parity(folder: Path) -> tuple[float, float]:
    """Seconds of one comparison of 8 images; the share of equal codes."""
    graph, probes = Graph(read_model(folder / "int8.onnx")), images()
    tensors = [node.output[0] for node in graph.codes()]
    session = ort.Session(folder / "int8.onnx", tensors, optimise=False, threads=1)
    traces = [session.run(x) for x in probes]
    equal = compare("ONNX Runtime", graph, probes, traces).equal
    return median(timed(lambda: compare("ONNX Runtime", graph, probes, traces)) for _ in range(3)), equal


def main() -> None:
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # read by the processes started here
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        write(folder)
        macs = count(Graph(read_model(folder / "int8.onnx"))).macs
        homes = {engine: stack.enter_context(spawn.Pool(1)) for engine in (*ENGINES, "compare")}
        turns = [{e: homes[e].apply(turn, (e, folder)) for e in ENGINES} for _ in range(ROUNDS)]
        seconds, equal = homes["compare"].apply(parity, (folder,))
    result = {
        "host": host(), "when": now(), "load": os.getloadavg(), "rounds": ROUNDS, "macs": macs,
        "net": f"restoration XS, {SIZE[0]} x {SIZE[1]}",
        "versions": {n: installed(n) for n in ("torch", "onnxruntime", "numpy")},
        "seconds": {e: median(t[e][0] for t in turns) for e in ENGINES},
        "mebibytes": {e: turns[0][e][1] for e in ENGINES},
        "compare": {"images": IMAGES, "seconds": seconds, "equal": equal},
    }  # fmt: skip
    print(table(result))
    results = Path(__file__).parent / "results"
    (results / "golden.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (results / "golden.md").write_text(table(result), encoding="utf-8")


def table(result: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    seconds, peaks, parity = result["seconds"], result["mebibytes"], result["compare"]
    base = seconds["torch, float"]
    rows = [
        f"| {e} | {1e3 * seconds[e]:.0f} | {seconds[e] / base:.2f} | {peaks[e]:.0f} |" for e in ENGINES
    ]  # fmt: skip
    return "\n".join([
        "# The golden interpreter's cost",
        "",
        f"`python benchmarks/golden.py {result['rounds']}`, {result['when']}; {result['net']}, "
        f"{result['macs'] / 1e9:.2f} GMAC, random weights.",
        f"{result['host']}; {versions}; load average {result['load'][0]:.1f} at the end.",
        "",
        "Medians over rounds in which every engine takes its turn, each in a process of its own, one thread. Memory:",
        "what the first inference adds to the peak of a process that has loaded the network.",
        "",
        "| engine | ms | torch = 1 | MiB |",
        "|---|---|---|---|",
        *rows,
        "",
        f"`verify.parity.compare`, {parity['images']} images, both runs of each: {parity['seconds']:.1f} s; "
        f"{100 * parity['equal']:.3f} % of the codes equal end to end.",
        "",
    ])  # fmt: skip


if __name__ == "__main__":
    main()
