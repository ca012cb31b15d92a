"""Run an OpenVINO IR or ONNX file with OpenVINO."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino

if TYPE_CHECKING:
    from pathlib import Path

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
    """A compiled model that also gives out the tensors in `expose`."""

    def __init__(self, model: Path, expose: Sequence[str] = (), threads: int = 1) -> None:
        core = openvino.Core()
        network = core.read_model(str(model))
        known = {name for port in network.outputs for name in port.get_names()}
        if new := [name for name in expose if name not in known]:
            network.add_outputs(new)
        self.compiled = core.compile_model(network, "CPU", settings(threads))
        self._request = self.compiled.create_infer_request()

    def feed(self, inputs: Arrays) -> Any:
        """Inputs as the runtime takes them."""
        return inputs

    def call(self, fed: Any) -> Any:
        """One inference."""
        return self._request.infer(fed)

    def read(self, raw: Any) -> Arrays:
        """Outputs by name."""
        return {name: np.array(value) for port, value in raw.items() for name in port.get_names()}

    def run(self, inputs: Arrays) -> Arrays:
        """Outputs by name."""
        return self.read(self.call(self.feed(inputs)))

    def precisions(self) -> list[tuple[str, str]]:
        """Type and precision of every layer as it runs."""
        infos = (op.get_rt_info() for op in self.compiled.get_runtime_model().get_ops())
        return [(info["layerType"].astype(str), info["runtimePrecision"].astype(str)) for info in infos]
