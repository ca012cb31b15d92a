"""The portable graph as OpenVINO IR, with proof of what runs in int8."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
from pydantic import Field

from edgekd.backends.base import Artifact, Job, check_operators
from edgekd.backends.openvino.reasons import reasons
from edgekd.errors import MissingError, Problem
from edgekd.graph.executed import as_ran, int8_proof
from edgekd.graph.model import Graph
from edgekd.graph.reasons import Reason
from edgekd.schema.base import Strict
from edgekd.schema.target import Engine


class OvOptions(Strict):
    """Options of the engine."""

    device: str = Field(
        "CPU", description="What runs it: `CPU`, or `GPU`, `NPU` and the like where OpenVINO finds one."
    )


class OpenVino:
    """OpenVINO, on the CPU or another device that it finds."""

    package = "openvino"
    Options = OvOptions

    def check(self, graph: Graph, engine: Engine) -> list[Problem]:
        """Operators and opset."""
        return check_operators(graph, engine)

    def reasons(self, graph: Graph, machines: Sequence[str]) -> Iterator[Reason]:
        """What keeps the graph slow on hosts of these kinds (`uname -m`)."""
        return reasons(graph, machines)

    def compile(self, job: Job, options: OvOptions, out: Path) -> Artifact:
        """Write IR without fp16 compression, compile it, and read from the execution graph what runs in int8."""
        from edgekd.runners import ov  # before openvino itself: it keeps its telemetry off

        import openvino  # isort: skip

        there = openvino.Core().available_devices
        if options.device not in there:
            hint = f"there is {', '.join(f'`{name}`' for name in there)}; another needs its driver"
            raise MissingError(f"OpenVINO finds no device `{options.device}` here", hint)
        onnx.save(job.graph.model, out / "source.onnx")
        network = openvino.Core().read_model(str(out / "source.onnx"))
        for i, op in enumerate(network.get_ordered_ops()):
            if op.get_friendly_name() == op.get_name():  # counted through the whole process: not the same twice
                op.set_friendly_name(f"{op.get_type_name()}/{i}")
        openvino.save_model(network, str(out / "model.xml"), compress_to_fp16=False)
        (out / "source.onnx").unlink()
        session = ov.Session(out / "model.xml", **options.plain())
        ran = as_ran(session.layers(job.inputs[0], runs=1))
        return Artifact(
            backend="openvino",
            kind="artifact",
            tool=ov.TOOL,
            model="model.xml",
            runner="ov",
            options=options.plain(),
            facts=int8_proof(job.graph, ran) | session.facts(),
        )
