"""How many integers survive each hop, on a trained net, for each arithmetic: python benchmarks/parity.py [STEPS]

One restoration net (XS) is trained, then trained on in each arithmetic, exported at 256 x 256, and traced tensor by
tensor: fake quantization -> golden -> ONNX Runtime unoptimised, ONNX Runtime optimised, OpenVINO; and golden against
itself in the other rounding. One seed, one evaluation crop. `worst` is the largest share of one tensor's codes that
differ when the golden interpreter is given the engine's own codes for everything before.
"""

from __future__ import annotations

import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from edgekd.backends.base import Artifact, Job
from edgekd.backends.registry import backend
from edgekd.evidence import host, now
from edgekd.graph import golden
from edgekd.graph.model import Graph
from edgekd.quantize.export import export_quantized, trained_codes
from edgekd.quantize.methods import Source, load_quantizers, qat
from edgekd.schema.recipe import Quantize
from edgekd.schema.targets import find_target
from edgekd.store import installed
from edgekd.students.qdr.task import DenoiseTask
from edgekd.students.qdr.training import RestorationStudent
from edgekd.train.teach import load_weights, train_float
from edgekd.verify.check import trace
from edgekd.verify.parity import Hop, compare

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 600
ARITHMETICS = {
    "s8 symmetric, skip placement": ("jetson", "real"),
    "u8 affine, skip placement": ("x86", "real"),
    "u8 affine, every operator": ("x86:onnxruntime", "real"),
    "s8 power of two, skip placement": ("jetson", "power-of-two"),
    "u8 power of two, every operator": ("x86:onnxruntime", "power-of-two"),
}
ENGINES = {
    "ONNX Runtime, unoptimised": ("onnxruntime", {"optimise": False}),
    "ONNX Runtime, optimised": ("onnxruntime", {"optimise": True}),
    "OpenVINO": ("openvino", {}),
}


def quiet(*args: object) -> None:
    return None


def row(arithmetic: str, hop: Hop) -> dict[str, Any]:
    worst = max(hop.tensors, key=lambda t: t.forced_differing / t.size)
    return {
        "arithmetic": arithmetic,
        "hop": hop.name,
        "equal": hop.equal,
        "largest": hop.largest,
        "worst": worst.forced_differing / worst.size,
        "worst tensor": worst.tensor,
        "worst largest": max(t.forced_largest for t in hop.tensors),
    }


def main() -> None:
    torch.set_num_threads(2)
    torch.manual_seed(0)
    task = DenoiseTask({}, 0)
    io, student = task.io((256, 256)), RestorationStudent({}, {}, 0)
    inputs = task.encode(task.evalset()[0].raw, io)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "teach").mkdir()
        train_float(student.build(), lambda net, b: student.loss(net(*student.inputs(b)), b),
                    lambda i: student.batch(i, 8), steps=STEPS, lr=4e-3, weight_decay=0.0, warmup=0.05,
                    folder=folder / "teach", tick=quiet)  # fmt: skip
        batches = partial(student.batch, size=8)
        source = Source(lambda i: batches(STEPS + i), student.inputs, student.loss, student.taps, [(-1.0, 1.0)])
        for arithmetic, (target, scale) in ARITHMETICS.items():
            spec = find_target(target).arithmetic.model_copy(update={"scale": scale})
            place = folder / arithmetic
            place.mkdir()
            net, teacher = (load_weights(student.build(), folder / "teach") for _ in range(2))
            qat(net, teacher, source, spec, Quantize(steps=100, lr=5e-4), place, quiet)
            portable = export_quantized(net, load_quantizers(place), spec, source.ranges, io)
            graph = Graph(portable.model)
            codes = trained_codes(portable.quantized, (torch.from_numpy(inputs["image"]),))
            rows.append(row(arithmetic, compare("fake quantization → golden", graph, [inputs], [codes])))
            tensors = [node.output[0] for node in graph.codes()]
            for engine, (kind, options) in ENGINES.items():
                maker = backend(kind)
                out = place / engine
                out.mkdir()
                artifact: Artifact = maker.compile(Job(graph, graph, [inputs], []), maker.Options(**options), out)
                found = trace(artifact, out, inputs, tensors)
                rows.append(row(arithmetic, compare(f"golden → {engine}", graph, [inputs], [found])))
            other = golden.run(graph, inputs, rounding="tfl_double")
            rows.append(row(arithmetic, compare("golden → golden, tfl_double", graph, [inputs], [other])))
            print(*map(line, rows[-5:]), sep="\n", flush=True)
            onnx.save(portable.model, place / "graph.onnx")
    result = {
        "host": host(), "when": now(), "steps": STEPS, "net": "restoration XS, 258,647 parameters, 256 x 256",
        "versions": {n: installed(n) for n in ("torch", "onnxruntime", "openvino", "numpy")}, "rows": rows,
    }  # fmt: skip
    results = Path(__file__).parent / "results"
    (results / "parity.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (results / "parity.md").write_text(table(result), encoding="utf-8")


def line(r: dict[str, Any]) -> str:
    cells = (r["arithmetic"], r["hop"], f"{100 * r['equal']:.4f} %", r["largest"], f"`{r['worst tensor']}`",
             f"{r['worst']:.1e}", r["worst largest"])  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def table(result: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return "\n".join([
        "# Parity of each hop",
        "",
        f"`python benchmarks/parity.py {result['steps']}`, {result['when']}; {result['net']}; one seed, one crop.",
        f"{result['host']}; {versions}.",
        "",
        "Equal and largest: all codes, each hop on its own inputs. Worst: the tensor with most differing codes when",
        "the golden interpreter is given the engine's own codes for everything before it, and the largest difference.",
        "",
        "OpenVINO does not execute the pairs between a Conv, or the Relu behind it, and an Add: compare its rows",
        "for graphs trained with pairs there (every operator) and without (skip placement).",
        "",
        "| arithmetic | hop | equal | largest | worst tensor | differ | by |",
        "|---|---|---|---|---|---|---|",
        *map(line, result["rows"]),
        "",
    ])  # fmt: skip


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main()
