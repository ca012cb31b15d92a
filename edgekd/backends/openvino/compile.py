"""The portable graph as OpenVINO IR, with proof of what runs in int8."""

from __future__ import annotations

from pathlib import Path

import onnx

from edgekd.backends.base import Artifact, Job, check_operators
from edgekd.errors import Problem
from edgekd.graph.model import Graph
from edgekd.schema.base import Strict
from edgekd.schema.target import Engine

_WEIGHTED = ("Convolution", "GroupConvolution", "Deconvolution", "FullyConnected", "MatMul")


class OvOptions(Strict):
    """OpenVINO takes no options yet."""


class OpenVino:
    """OpenVINO on the CPU."""

    package = "openvino"
    Options = OvOptions

    def check(self, graph: Graph, engine: Engine) -> list[Problem]:
        """Operators and opset."""
        return check_operators(graph, engine)

    def compile(self, job: Job, options: OvOptions, out: Path) -> Artifact:
        """Write IR without fp16 compression, compile it, and read from the execution graph what runs in int8."""
        import openvino

        from edgekd.runners import ov

        onnx.save(job.graph.model, out / "source.onnx")
        network = openvino.Core().read_model(str(out / "source.onnx"))
        for i, op in enumerate(network.get_ordered_ops()):
            if op.get_friendly_name() == op.get_name():  # counted through the whole process: not the same twice
                op.set_friendly_name(f"{op.get_type_name()}/{i}")
        openvino.save_model(network, str(out / "model.xml"), compress_to_fp16=False)
        (out / "source.onnx").unlink()
        session = ov.Session(out / "model.xml")
        session.run(job.inputs[0])
        weighted = [precision for kind, precision in session.precisions() if kind in _WEIGHTED]
        int8 = sum(precision in ("u8", "i8") for precision in weighted)
        return Artifact(
            backend="openvino",
            kind="artifact",
            tool=ov.TOOL,
            model="model.xml",
            runner="ov",
            facts={"weighted layers": len(weighted), "of them in int8": int8},
        )
