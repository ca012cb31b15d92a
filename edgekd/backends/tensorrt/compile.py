"""A kit for the Jetson: graphs, inputs, expected outputs, the exact commands, and a check of the answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
from pydantic import Field

from edgekd.backends.base import Artifact, Job, check_operators
from edgekd.backends.tensorrt import rules
from edgekd.backends.tensorrt.reasons import reasons
from edgekd.errors import Problem, ProblemsError
from edgekd.graph.model import Graph
from edgekd.graph.reasons import Reason
from edgekd.graph.rewrite import float_biases
from edgekd.resources import sha256
from edgekd.schema.base import Strict
from edgekd.schema.target import Engine

_TEMPLATES = Path(__file__).parent / "kit"


class TrtOptions(Strict):
    """Options of the engine builder."""

    workspace_mib: int = Field(2048, ge=1, description="Memory the builder may use, in MiB.")
    level: int = Field(3, ge=0, le=5, description="Builder optimisation level.")


class TensorRt:
    """TensorRT 10 and 11 through `trtexec` on the device."""

    package = None
    Options = TrtOptions

    def check(self, graph: Graph, engine: Engine) -> list[Problem]:
        """Operators, opset, and the placement of every Q/DQ pair in the graph as TensorRT will read it."""
        return [*check_operators(graph, engine), *rules.check(Graph(float_biases(graph)))]

    def reasons(self, graph: Graph, machines: Sequence[str]) -> Iterator[Reason]:
        """What keeps the graph slow on hosts of these kinds (`uname -m`)."""
        return reasons(graph, machines)

    def compile(self, job: Job, options: TrtOptions, out: Path) -> Artifact:
        """Write the kit. Raises ProblemsError when the rewritten graph breaks a rule."""
        model = float_biases(job.graph)
        if problems := rules.check(Graph(model)):
            raise ProblemsError(problems)
        onnx.save(model, out / "int8.onnx")
        onnx.save(job.reference.model, out / "float.onnx")
        probes = []
        for i, (inputs, expected) in enumerate(zip(job.inputs, job.expected, strict=True)):
            probe: dict[str, dict[str, str]] = {"inputs": {}, "expected": {}}
            for kind, arrays in (("inputs", inputs), ("expected", expected)):
                for name, array in arrays.items():
                    file = f"{kind}-{i}-{name}.bin"
                    (out / file).write_bytes(array.astype("<f4").tobytes())
                    probe[kind][name] = file
            probes.append(probe)
        (out / "probes.json").write_text(json.dumps(probes, indent=1), encoding="utf-8")
        loads = ",".join(f"{name}:{file}" for name, file in probes[0]["inputs"].items())
        values = {"@WORKSPACE@": str(options.workspace_mib), "@LEVEL@": str(options.level), "@INPUTS@": loads}
        for template in sorted(_TEMPLATES.iterdir()):
            text = template.read_text(encoding="utf-8")
            for mark, value in values.items():
                text = text.replace(mark, value)
            (out / template.name).write_text(text, encoding="utf-8")
        files = sorted(path for path in out.iterdir() if path.name != "SHA256SUMS")
        sums = "".join(f"{sha256(path)}  {path.name}\n" for path in files)
        (out / "SHA256SUMS").write_text(sums, encoding="utf-8")
        return Artifact(backend="tensorrt", kind="kit", tool="edgekd, static check", model="int8.onnx",
                        facts={"rules": "every Q/DQ placement passed", "TensorRT": "10 and 11"})  # fmt: skip
