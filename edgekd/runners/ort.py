"""Run an ONNX file with ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

TOOL = f"ONNX Runtime {onnxruntime.__version__}, CPU"


class Session:
    """A loaded model that also gives out the tensors in `expose`. `optimise`: graph optimisations on, or all off."""

    def __init__(self, model: Path, expose: Sequence[str] = (), threads: int = 1, optimise: bool = True) -> None:
        self._session = load(with_outputs(model, expose) if expose else str(model), threads, optimise)
        self._outputs = [value.name for value in self._session.get_outputs()]

    def feed(self, inputs: Arrays) -> Any:
        """Inputs as the runtime takes them."""
        return inputs

    def call(self, fed: Any) -> Any:
        """One inference."""
        return self._session.run(self._outputs, fed)

    def read(self, raw: Any) -> Arrays:
        """Outputs by name."""
        return {name: np.asarray(value) for name, value in zip(self._outputs, raw)}

    def run(self, inputs: Arrays) -> Arrays:
        """Outputs by name."""
        return self.read(self.call(self.feed(inputs)))


def load(source: str | bytes, threads: int, optimise: bool) -> Any:
    """A session on the CPU."""
    options, levels = onnxruntime.SessionOptions(), onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def with_outputs(model: Path, tensors: Sequence[str]) -> bytes:
    """The model with more outputs, without the onnx package: serialized protobuf messages merge when joined.

    ModelProto.graph is field 7, GraphProto.output field 12, ValueInfoProto.name field 1 (onnx.proto).
    """
    known = {value.name for value in load(str(model), 1, optimise=False).get_outputs()}
    added = b"".join(_field(12, _field(1, name.encode())) for name in tensors if name not in known)
    return model.read_bytes() + _field(7, added)


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])
