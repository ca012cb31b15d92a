"""How many integers survive each hop, on trained nets: python benchmarks/parity.py [--keep FOLDER] [NET ...]

Four nets (benchmarks/nets.py) are trained, then trained on in each arithmetic and placement, exported and traced tensor
by tensor. The placement fits the engine of the hop: pairs at every operator for ONNX Runtime, none between a Conv and
an Add for OpenVINO, which would drop them. `--share 0.05` takes that share of the training steps, to try the program;
`--keep` keeps what is finished in a folder, and goes on there after a stop. `EDGEKD_DATA` names the folder of data.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from edgekd.backends.base import Job
from edgekd.backends.registry import backend
from edgekd.evidence import host, now
from edgekd.graph import golden
from edgekd.graph.model import Array, Graph, read_model
from edgekd.quantize.export import export_quantized, trained_codes
from edgekd.quantize.methods import QUANTIZERS, Source, load_quantizers, qat
from edgekd.schema.io import ImageInput, IoRecord, TensorOutput
from edgekd.schema.recipe import Quantize
from edgekd.schema.target import Activations, Arithmetic, Weights
from edgekd.schema.targets import find_target
from edgekd.store import installed, write_atomic
from edgekd.train.teach import WEIGHTS, load_weights, train_float
from edgekd.verify.engines import LocalEngine, traces
from edgekd.verify.parity import Difference, compare

from nets import NETS, Net

SIGNED, UNSIGNED = Activations(signed=True, symmetric=True), Activations(signed=False, symmetric=False)
ARITHMETICS: dict[str, dict[str, Any]] = {
    "s8 symmetric": {"activations": SIGNED},
    "u8 affine": {"activations": UNSIGNED},
    "s8 power of two": {
        "activations": SIGNED.model_copy(update={"scale": "power-of-two"}),
        "weights": Weights(scale="power-of-two"),
    },
    "W4A8 affine, simulated": {"activations": UNSIGNED, "weights": Weights(bits=4), "simulated": True},
}
PLACEMENTS = {"every operator": "x86:onnxruntime", "skip": "x86:openvino"}
FUSED = {"optimise": True, "unsigned": True}
RANGES = [(-1.0, 1.0)]
Row = dict[str, Any]
Traces = list[dict[str, Array]] | str


@dataclass(frozen=True)
class Exported:
    """A graph with the probes it was traced on and the codes that training saw."""

    graph: Graph
    inputs: list[dict[str, Array]]
    trained: list[dict[str, Array]]


def quiet(*args: object) -> None:
    return None


def record(net: Net) -> IoRecord:
    half = (0.5,) * net.shape[1]
    color: Any = "L" if net.shape[1] == 1 else "RGB"
    image = ImageInput(name="image", shape=net.shape, color=color, mean=half, std=half)
    return IoRecord(inputs=(image,), outputs=(TensorOutput(name="answer"),))


def taught(net: Net, share: float, folder: Path) -> torch.nn.Module:
    """The float net, trained once."""
    torch.manual_seed(0)
    fresh = net.build()
    if not (folder / WEIGHTS).exists():
        folder.mkdir(parents=True, exist_ok=True)
        train_float(fresh, lambda model, b: net.loss(model(b["x"]), b), lambda i: net.batch(i, net.size),
                    steps=steps_of(net, share), lr=net.lr, weight_decay=0.0, warmup=0.05, folder=folder,
                    tick=quiet)  # fmt: skip
    return load_weights(fresh, folder).eval()


def steps_of(net: Net, share: float) -> int:
    return max(10, round(share * net.steps))


def probes(net: Net) -> list[dict[str, Array]]:
    """Evaluation inputs: one large or four small ones."""
    count = min(4, max(1, 2**16 // (net.shape[2] * net.shape[3])))
    return [{"image": x} for x, _ in net.evalset()[:count]]


def exported(net: Net, teach: Path, spec: Arithmetic, share: float, place: Path) -> Exported:
    """The net trained on in an arithmetic, a tenth of the float steps, as a portable graph."""
    steps = steps_of(net, share)
    io, model = record(net), net.build()
    if not (place / QUANTIZERS).exists():
        place.mkdir(parents=True, exist_ok=True)
        source = Source(lambda i: net.batch(steps + i, net.size), lambda b: (b["x"],), net.loss, (), RANGES)
        config = Quantize(steps=max(5, steps // 10), lr=net.lr / 10)
        student, teacher = (load_weights(net.build(), teach) for _ in range(2))
        qat(student, teacher, source, spec, config, place, quiet)
    portable = export_quantized(load_weights(model, place), load_quantizers(place), spec, RANGES, io)
    onnx.save(portable.model, place / "graph.onnx")
    inputs = probes(net)
    codes = [trained_codes(portable.quantized, (torch.from_numpy(x["image"]),)) for x in inputs]
    return Exported(Graph(read_model(place / "graph.onnx")), inputs, codes)


def engine(found: Exported, kind: str, options: dict[str, Any], out: Path) -> Traces:
    """Traces of an engine; why there are none where it fails."""
    out.mkdir(exist_ok=True)
    maker = backend(kind)
    graph, tensors = found.graph, [node.output[0] for node in found.graph.codes()]
    try:
        artifact = maker.compile(Job(graph, graph, found.inputs, []), maker.Options(**options), out)
        return traces(LocalEngine("", artifact, out), found.inputs, tensors)
    except Exception as error:  # each runtime raises its own kinds
        return " ".join(line for line in str(error).splitlines() if line.strip())[-160:]


def hops(found: Exported, placement: str, out: Path) -> Iterator[tuple[str, Traces]]:
    """Every hop whose engine the placement fits."""
    yield "fake quantization → golden", found.trained
    if placement == "skip":
        yield "golden → OpenVINO", engine(found, "openvino", {}, out / "openvino")
        return
    unoptimised = engine(found, "onnxruntime", {"optimise": False}, out / "unoptimised")
    yield "golden → ONNX Runtime, unoptimised", unoptimised
    yield "golden → ONNX Runtime, fused u8", engine(found, "onnxruntime", FUSED, out / "fused")
    yield "golden → golden, tfl_double", [golden.run(found.graph, x, rounding="tfl_double") for x in found.inputs]


def rows(name: str, arithmetic: str, placement: str, found: Exported, out: Path) -> Iterator[Row]:
    for hop, traced in hops(found, placement, out):
        about = {"net": name, "arithmetic": arithmetic, "placement": placement, "hop": hop}
        if isinstance(traced, str):
            yield about | {"failed": traced, "forced": {}}
            continue
        codes = {node.output[0] for node in found.graph.codes()}
        tensors = [t for t in compare(hop, found.graph, found.inputs, traced).tensors if t.tensor in codes]
        kinds: dict[str, list[Difference]] = {}
        for t in tensors:
            kinds.setdefault(t.operator, []).append(t)
        yield about | {
            "tensors": len(tensors),
            "codes": sum(t.size for t in tensors),
            "differing": sum(t.differing for t in tensors),
            "largest": max(t.largest for t in tensors),
            "forced": {kind: worst(found) for kind, found in kinds.items()},
        }


def worst(tensors: list[Difference]) -> Row:
    """Of tensors made by one kind of operator, teacher-forced."""
    most = max(tensors, key=lambda t: t.forced_differing / t.size)
    return {
        "share": most.forced_differing / most.size,
        "tensor": most.tensor,
        "largest": max(t.forced_largest for t in tensors),
    }


def of_net(name: str, share: float, folder: Path) -> dict[str, Any]:
    """All rows of a net, each arithmetic and placement worked out once."""
    net = NETS[name]
    float_net, out = taught(net, share, folder / "teach"), []
    with torch.no_grad():
        scores = [net.score(float_net(torch.from_numpy(x)).numpy(), y) for x, y in net.evalset()]
    for arithmetic, changes in ARITHMETICS.items():
        for placement, target in PLACEMENTS.items():
            place = folder / f"{arithmetic}, {placement}"
            if not (place / "rows.json").exists():
                spec = find_target(target).arithmetic.model_copy(update=changes)
                found = exported(net, folder / "teach", spec, share, place)
                write_atomic(
                    place / "rows.json", json.dumps(list(rows(name, arithmetic, placement, found, place))).encode()
                )
            new = json.loads((place / "rows.json").read_text(encoding="utf-8"))
            print(*map(line, new), sep="\n", flush=True)
            out += new
    parameters = sum(p.numel() for p in float_net.parameters())
    about = f"{net.about}; {parameters:,} parameters, {net.shape[2]} x {net.shape[3]}, {steps_of(net, share)} steps"
    return {"about": about, "metric": net.metric, "float": float(np.mean(scores)), "samples": len(scores), "rows": out}


def cells(*values: object) -> str:
    return "| " + " | ".join(map(str, values)) + " |"


def line(r: Row) -> str:
    if "failed" in r:
        return cells(r["net"], r["arithmetic"], r["placement"], r["hop"], "does not run", "", r["failed"], "", "")
    kind, most = max(r["forced"].items(), key=lambda item: (item[1]["share"], item[1]["largest"]))
    share = f"{100 * (1 - r['differing'] / r['codes']):.4f} %"
    where = f"{kind} `{most['tensor']}`" if most["share"] else ""
    found = (share, r["largest"], where, f"{most['share']:.1e}", most["largest"])
    return cells(r["net"], r["arithmetic"], r["placement"], r["hop"], *found)


def maxima(all_rows: list[Row]) -> Iterator[str]:
    """The largest teacher-forced share of each operator over all nets, hop by hop."""
    hop_names = list(dict.fromkeys(r["hop"] for r in all_rows if r["arithmetic"] != "s8 power of two"))
    yield cells("operator", *hop_names)
    yield "|" + "---|" * (len(hop_names) + 1)
    for kind in sorted({k for r in all_rows for k in r["forced"]}):
        shares = []
        for hop in hop_names:
            found = [r["forced"][kind] for r in all_rows if r["hop"] == hop and kind in r["forced"]]
            most = max(found, key=lambda f: f["share"], default=None)
            shares.append(f"{most['share']:.1e} by {max(f['largest'] for f in found)}" if most else "")
        yield cells(kind, *shares)


def table(result: dict[str, Any], command: str) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    nets = [f"- {name}: {n['about']}; float {n['float']:.2f} {n['metric']} on {n['samples']} samples"
            for name, n in result["nets"].items()]  # fmt: skip
    all_rows = [r for n in result["nets"].values() for r in n["rows"]]
    return "\n".join([
        "# Parity of each hop", "",
        f"`{command}`, {result['when']}, {result['host']}; {versions}. One seed.", "", *nets, "",
        "Equal and largest: all codes, each hop on its own inputs. Worst: the tensor with most differing codes when",
        "the golden interpreter is given the engine's own codes for everything before it; by: the largest such",
        "difference of any tensor, in codes. W4A8 is simulated: 4-bit weight codes in 8-bit containers.", "",
        "| net | arithmetic | placement | hop | equal | largest | worst | differ | by |",
        "|---|---|---|---|---|---|---|---|---|", *map(line, all_rows), "",
        "## Largest share of one tensor's codes, teacher-forced, by operator", "",
        "All nets and arithmetics. The last hop is one rounding against the other, the rest are within `rne_f32`.", "",
        *maxima(all_rows), "",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", metavar="NET", default=list(NETS), help=f"of {', '.join(NETS)}")
    parser.add_argument("--keep", type=Path, help="folder that keeps what is finished")
    parser.add_argument("--share", type=float, default=1.0, help="share of the training steps")
    given = parser.parse_args()
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as scratch:
        base = given.keep or Path(scratch)
        nets = {name: of_net(name, given.share, base / name) for name in given.nets}
    names = ("torch", "onnxruntime", "openvino", "numpy")
    result = {"host": host(), "when": now(), "versions": {n: installed(n) for n in names}, "nets": nets}
    if given.share == 1.0 and list(nets) == list(NETS):
        results = Path(__file__).parent / "results"
        (results / "parity.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        (results / "parity.md").write_text(table(result, "python benchmarks/parity.py"), encoding="utf-8")
    else:
        print(table(result, f"python benchmarks/parity.py --share {given.share}"))


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main()
