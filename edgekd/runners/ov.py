"""Run an OpenVINO IR or ONNX file with OpenVINO on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
TOOL = f"OpenVINO {openvino.get_version().split('-')[0]}, CPU"


def settings(threads: int) -> dict[str, Any]:
    """Compile properties: float32 where a layer is not int8 (the default on some CPUs is bfloat16)."""
    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
    }


class Session:
    """A compiled model. Option: `threads`."""

    def __init__(self, model: Path, threads: int = 1, _expose: tuple[str, ...] = ()) -> None:
        core = openvino.Core()
        network = core.read_model(str(model))
        if _expose:
            known = {name for port in network.outputs for name in port.get_names()}
            network.add_outputs([name for name in _expose if name not in known])
        self.compiled = core.compile_model(network, "CPU", settings(threads))
        self._request = self.compiled.create_infer_request()

    @classmethod
    def exposing(cls, model: Path, tensors: list[str], **options: Any) -> Session:
        """A session that gives these tensors out too."""
        return cls(model, _expose=tuple(tensors), **options)

    def run(self, inputs: Arrays) -> Arrays:
        """Outputs by name."""
        results = self._request.infer(inputs)
        return {name: np.array(value) for port, value in results.items() for name in port.get_names()}

    def layers(self) -> list[tuple[str, str]]:
        """Type and precision of every layer as it runs."""
        infos = (op.get_rt_info() for op in self.compiled.get_runtime_model().get_ops())
        return [(info["layerType"].astype(str), info["runtimePrecision"].astype(str)) for info in infos]
