"""Run an ONNX file with ONNX Runtime on the CPU."""

from __future__ import annotations

import json
import platform
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

TOOL = f"ONNX Runtime {onnxruntime.__version__}, CPU"
FAILED = onnxruntime.capi.onnxruntime_pybind11_state.Fail
_PRECISION = {"float": "f32", "float16": "f16", "uint8": "u8", "int8": "i8"}
_ADDED = re.compile(r"(_token_\d+|_nchwc|/duplicated|/MatMulAddFusion)+$")
"""What ONNX Runtime puts behind the names of operators that it writes anew."""


class Session:
    """A loaded model that also gives out the tensors in `expose`. `optimise`: graph optimisations on, or all off.

    `channels`: tensors to which the model adds channels of zeros, and how many they have without.
    """

    def __init__(
        self,
        model: Path,
        expose: Sequence[str] = (),
        threads: int = 1,
        optimise: bool = True,
        channels: dict[str, int] | None = None,
    ) -> None:
        self._source: str | bytes = with_outputs(model, expose) if expose else str(model)
        self._threads, self._optimise, self._channels = threads, optimise, channels or {}
        self._exact = saturates()
        self._session = self._load()
        self._outputs = [value.name for value in self._session.get_outputs()]

    def feed(self, inputs: Arrays) -> Any:
        """Inputs as the runtime takes them."""
        return inputs

    def call(self, fed: Any) -> Any:
        """One inference."""
        try:
            return self._session.run(self._outputs, fed)
        except FAILED:
            if not self._exact:
                raise
        self._exact = False
        self._session = self._load()
        return self._session.run(self._outputs, fed)

    def _load(self, trace: str = "") -> Any:
        """A session, exact where it can be: ONNX Runtime 1.32 fails on some graphs in its exact kernels."""
        try:
            return load(self._source, self._threads, self._optimise, trace, self._exact)
        except FAILED:
            if not self._exact:
                raise
        self._exact = False
        return load(self._source, self._threads, self._optimise, trace)

    def read(self, raw: Any) -> Arrays:
        """Outputs by name."""
        out = {name: np.asarray(value) for name, value in zip(self._outputs, raw)}
        return {
            name: value[:, : self._channels[name]] if name in self._channels else value for name, value in out.items()
        }

    def run(self, inputs: Arrays) -> Arrays:
        """Outputs by name."""
        return self.read(self.call(self.feed(inputs)))

    def layers(self, inputs: Arrays, runs: int = 20) -> list[dict[str, Any]]:
        """Each operator as it runs, in order, with its median time over `runs` in milliseconds.

        `precision` is that of its first input. `nodes` names the graph's tensors that it makes; none where ONNX Runtime
        added it. From the profiler's trace, whose first run is left out.
        """
        self.run(inputs)
        with tempfile.TemporaryDirectory() as folder:
            session = self._load(str(Path(folder) / "trace"))
            for _ in range(1 + runs):
                session.run(self._outputs, inputs)
            events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        source = self._source if isinstance(self._source, bytes) else Path(self._source).read_bytes()
        return _layers(events, _makers(source))


def _layers(events: list[dict[str, Any]], makers: dict[str, list[str]]) -> list[dict[str, Any]]:
    """The trace's operators, summed over its runs."""
    found: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            found.setdefault(event["name"][: -len("_kernel_time")], []).append(event)
    return [
        {
            "name": name,
            "type": seen[0]["args"]["op_name"],
            "precision": _precision(seen[0]["args"]["input_type_shape"]),
            "ms": float(np.median([event["dur"] for event in seen[1:] or seen])) / 1e3,
            "nodes": makers.get(name) or makers.get(_ADDED.sub("", name), []),
        }
        for name, seen in found.items()
    ]


def _precision(inputs: list[dict[str, Any]]) -> str:
    """Of the first input that has a type."""
    types = [kind for value in inputs for kind in value]
    return _PRECISION.get(types[0], types[0]) if types else "f32"


def load(source: str | bytes, threads: int, optimise: bool, trace: str = "", exact: bool = False) -> Any:
    """A session on the CPU; with its profile written to files that begin with `trace`.

    `exact`: slower kernels of uint8 weights, which add in 32 bits.
    """
    options, levels = onnxruntime.SessionOptions(), onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    if trace:
        options.enable_profiling, options.profile_file_prefix = True, trace
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def saturates(file: str = "/proc/cpuinfo") -> bool:
    """As `saturates` in `board.py`, for this file stands alone.

    The option's cure is ONNX Runtime's own: `session.x64quantprecision` in onnxruntime_session_options_config_keys.h.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    try:
        return "vnni" not in Path(file).read_text(encoding="utf-8")
    except OSError:
        return True


def with_outputs(model: Path, tensors: Sequence[str]) -> bytes:
    """The model with more outputs, without the onnx package: serialized protobuf messages merge when joined.

    ModelProto.graph is field 7, GraphProto.output field 12, ValueInfoProto.name field 1 (onnx.proto).
    """
    known = {value.name for value in load(str(model), 1, optimise=False).get_outputs()}
    added = b"".join(_field(12, _field(1, name.encode())) for name in tensors if name not in known)
    return model.read_bytes() + _field(7, added)


def _makers(model: bytes) -> dict[str, list[str]]:
    """The tensors an operator makes, by the operator's name and by the tensor's own, without the onnx package.

    GraphProto.node is field 1; of NodeProto, output is field 2 and name field 3 (onnx.proto).
    """
    out: dict[str, list[str]] = {}
    for node in (node for graph in _read(model, 7) for node in _read(graph, 1)):
        made = [bytes(name).decode() for name in _read(node, 2) if name]
        named = [bytes(name).decode() for name in _read(node, 3) if name]
        out.update((name, [name]) for name in made)
        out.update((name, made) for name in named if name not in out)
    return out


def _read(message: bytes | memoryview, wanted: int) -> Iterator[memoryview]:
    """The contents of a protobuf message's length-delimited fields of one number."""
    view, at = memoryview(message), 0
    while at < len(view):
        key, at = _read_varint(view, at)
        if key & 7 == 2:
            size, at = _read_varint(view, at)
            if key >> 3 == wanted:
                yield view[at : at + size]
            at += size
        elif key & 7 == 0:
            _, at = _read_varint(view, at)
        else:
            at += 8 if key & 7 == 1 else 4


def _read_varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte, at = view[at], at + 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])
