"""Sony's MCT as a peer: its PTQ of a run's float net beside the run's own arms: python benchmarks/mct.py RUN_FOLDER

The run is one of `edgekd compress --target imx500`, its store beside it. MCT gets the same checkpoint and the same
calibration batches, with its defaults and TPC 1.0; what it exports is read back as Q/DQ pairs. All arms are scored on
the evaluation set in ONNX Runtime with nothing optimised, whose codes are those of mct-quantizers' operators, which
is checked too where `edgekd fetch imx500-verify` was. Its structure is held against that of our own file.

MCT needs other versions of some packages than are here, and PyTorch, which is shared:

    python3.11 -m venv --without-pip mct
    pip --python mct/bin/python install --no-deps model-compression-toolkit==2.6.1 mct-quantizers==1.7.0 \\
        edge-mdt-cl==1.1.1 networkx==3.5 pydantic==2.11.10 pydantic-core==2.33.2 typing-inspection==0.4.5 \\
        annotated-types==0.8.0 matplotlib==3.9.4 PuLP==3.3.2 scikit-image==0.26.0 imageio==2.38.1 lazy_loader==0.6 \\
        tifffile==2026.3.3 tensorboard==2.21.0 tensorboard-data-server==0.7.2 absl-py==2.5.1 grpcio==1.85.3 \\
        markdown==3.11.3 werkzeug==3.1.9
    python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > mct/lib/python3.11/site-packages/shared.pth
    EDGEKD_MCT=mct/bin/python python benchmarks/mct.py runs/latest
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from edgekd.backends.imx500.dialect import write
from edgekd.backends.imx500.inverse import read
from edgekd.backends.imx500.verify import check, expected
from edgekd.evidence import Bundle, host, now
from edgekd.graph.model import Array, Graph, read_model, with_batch
from edgekd.measure.statistics import bootstrap
from edgekd.plan import Plan, make_plan
from edgekd.quantize.methods import calibration_batches
from edgekd.runners import ort
from edgekd.schema.io import IoRecord
from edgekd.steps import source_of
from edgekd.store import installed
from edgekd.train.teach import WEIGHTS
from edgekd.verify.scores import Scores, controls, score

SCRIPT = Path(__file__).with_name("mct_quantize.py")
MCT = "mct-ptq"
PROBES = 2


def hand_over(bundle: Bundle, plan: Plan, folder: Path) -> None:
    """Checkpoint, settings and calibration batches for `mct_quantize.py`."""
    recipe = plan.recipe
    key = bundle.manifest.steps[plan.trained[recipe.reference]]
    shutil.copy(bundle.run.parent / ".store" / key / WEIGHTS, folder / WEIGHTS)
    job = {"student": recipe.student, "model": recipe.model, "data": recipe.data, "seed": recipe.seed,
           "shape": plan.io.inputs[0].shape}  # fmt: skip
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    student = plan.entry.make_student(recipe.model, recipe.data, recipe.seed)
    batches = calibration_batches(source_of(plan, recipe, student), recipe.quantize)
    arrays = {f"{i}/{j}": x.contiguous().numpy() for i, xs in enumerate(batches) for j, x in enumerate(xs)}
    np.savez(folder / "calibration.npz", **arrays)  # type: ignore[arg-type]


def quantize(folder: Path) -> dict[str, Any]:
    """What MCT tells; its file lies in the folder then."""
    python = os.environ.get("EDGEKD_MCT")
    if python is None:
        sys.exit(f"EDGEKD_MCT does not name MCT's Python; how to make one:\n{__doc__}")
    root = str(Path(__file__).parents[1])
    subprocess.run([python, str(SCRIPT), str(folder)], check=True, env=os.environ | {"PYTHONPATH": root})
    told: dict[str, Any] = json.loads((folder / "told.json").read_text(encoding="utf-8"))
    return told


def renamed(io: IoRecord, graph: Graph) -> IoRecord:
    """The record under the names of another file's inputs and outputs, in its order."""
    inputs = [s.model_copy(update={"name": n}) for s, n in zip(io.inputs, graph.inputs, strict=True)]
    outputs = [s.model_copy(update={"name": n}) for s, n in zip(io.outputs, graph.outputs, strict=True)]
    return io.model_copy(update={"inputs": tuple(inputs), "outputs": tuple(outputs)})


def scored(name: str, graph: Graph, plan: Plan, folder: Path) -> Scores:
    """A graph on the evaluation set."""
    onnx.save(graph.model, folder / "scored.onnx")
    session = ort.Session(folder / "scored.onnx", threads=plan.recipe.threads, optimise=False)

    def answers(inputs: Iterable[dict[str, Array]]) -> Iterator[dict[str, Array]]:
        return map(session.run, inputs)

    return score(name, plan.task, renamed(plan.io, graph), plan.task.evalset(), answers)


def form(model: onnx.ModelProto) -> dict[str, Any]:
    """What a file is made of: how many of each operator, with which attributes of which types."""
    kind = onnx.AttributeProto.AttributeType.Name
    attrs: dict[str, set[str]] = {}
    for node in model.graph.node:
        attrs.setdefault(node.op_type, set()).add(", ".join(sorted(f"{a.name} {kind(a.type)}" for a in node.attribute)))
    ends = [[v.name, [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]]
            for v in (*model.graph.input, *model.graph.output)]  # fmt: skip
    return {
        "operators": dict(sorted(Counter(node.op_type for node in model.graph.node).items())),
        "attributes": {name: sorted(seen) for name, seen in sorted(attrs.items())},
        "ends": ends,
        "ir": model.ir_version,
        "opsets": {entry.domain: entry.version for entry in model.opset_import},
    }


def collect(run: Path) -> dict[str, Any]:
    bundle = Bundle(run.resolve())
    plan = make_plan(bundle.manifest.recipe, bundle.manifest.target)
    ours = Graph(read_model(bundle.path / "graph.onnx"))
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        hand_over(bundle, plan, folder)
        told = quantize(folder)
        theirs = read_model(folder / "mct.onnx")
        graph = with_batch(Graph(read(theirs)), 1)
        probes = [plan.task.encode(s.raw, renamed(plan.io, graph)) for s in plan.task.evalset()[:PROBES]]
        verdict = check(theirs, probes, expected(graph, probes))
        arms = {name: Graph(read_model(bundle.path / arm.graph)) for name, arm in bundle.manifest.arms.items()}
        found = [*controls(plan.task, plan.task.evalset()),
                 *(scored(name, g, plan, folder) for name, g in (arms | {MCT: graph}).items())]  # fmt: skip
    return {
        "host": host(), "when": now(), "run": bundle.manifest.name, "metric": plan.task.metric, "told": told,
        "titles": {name: arm.title for name, arm in bundle.manifest.arms.items()} | {MCT: "int8, PTQ by MCT"},
        "values": {s.subject: s.values[plan.task.metric] for s in found}, "codes": str(verdict),
        "forms": {"edgekd": form(write(ours)), "MCT": form(theirs)},
        "versions": told["versions"] | {n: installed(n) for n in ("onnxruntime", "numpy")},
    }  # fmt: skip


def difference(a: Iterable[float], b: Iterable[float]) -> str:
    """Mean of a - b, paired by sample, and its interval."""
    by_sample = np.array(a) - np.array(b)
    low, high = bootstrap(by_sample, lambda rows: float(rows.mean()))
    return f"{by_sample.mean():+.2f} [{low:+.2f}, {high:+.2f}]"


def table(result: dict[str, Any]) -> str:
    values, titles, told = result["values"], result["titles"], result["told"]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    lines = [
        "# MCT beside edgekd", "",
        f"`python benchmarks/mct.py`, {result['when']}; run `{result['run']}`.",
        f"{result['host']}; {versions}.", "",
        f"MCT's PTQ took {told['ptq']:.0f} s, its export {told['export']:.0f} s. Scores in ONNX Runtime, unoptimised;",
        "paired differences with 95 % bootstrap intervals over samples.", "",
        f"| arm | {result['metric']} | against MCT |", "|---|---|---|",
    ]  # fmt: skip
    for name, rows in values.items():
        against = "" if name == MCT else difference(rows, values[MCT])
        lines.append(f"| {titles.get(name, name)} | {np.mean(rows):.2f} | {against} |")
    ours, theirs = result["forms"]["edgekd"], result["forms"]["MCT"]
    lines += ["", f"MCT's file read as Q/DQ pairs: {result['codes']}.", "", "| what | edgekd | MCT |", "|---|---|---|"]
    for name in sorted({*ours["operators"], *theirs["operators"]}):
        lines.append(f"| {name} | {ours['operators'].get(name, 0)} | {theirs['operators'].get(name, 0)} |")
    same = {key: ours[key] == theirs[key] for key in ours}
    for key in ("attributes", "ends", "ir", "opsets"):
        lines.append(f"| {key} | same |  |" if same[key] else f"| {key} | {ours[key]} | {theirs[key]} |")
    return "\n".join([*lines, ""])


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    result = collect(Path(sys.argv[1]))
    results = Path(__file__).parent / "results"
    (results / "mct.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (results / "mct.md").write_text(table(result), encoding="utf-8")
    print(table(result))


if __name__ == "__main__":
    main()
