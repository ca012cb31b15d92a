"""Run an ONNX file with ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
TOOL = f"ONNX Runtime {onnxruntime.__version__}, CPU"


class Session:
    """A loaded model. Options: `optimise` (graph optimisations on or all off) and `threads`."""

    def __init__(self, model: Path | bytes, optimise: bool = True, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        levels = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        source = model if isinstance(model, bytes) else str(model)
        self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        self._outputs = [value.name for value in self._session.get_outputs()]

    @classmethod
    def exposing(cls, model: Path, tensors: list[str], **options: Any) -> Session:
        """A session that gives these tensors out too."""
        import onnx

        proto = onnx.load(model)
        known = {value.name for value in proto.graph.output}
        new = [onnx.helper.make_empty_tensor_value_info(name) for name in tensors if name not in known]
        proto.graph.output.extend(new)
        return cls(proto.SerializeToString(), **options)

    def run(self, inputs: Arrays) -> Arrays:
        """Outputs by name."""
        outputs = self._session.run(self._outputs, inputs)
        return {name: np.asarray(value) for name, value in zip(self._outputs, outputs, strict=True)}
