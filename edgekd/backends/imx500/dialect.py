"""The dialect of ONNX that the sensor's converter reads, written from a portable graph's own scales.

All numbers are float32; what is quantized passes an operator of the domain `mct_quantizers`, which rounds it to a grid.
Operators and attributes are those of mct-quantizers (Apache-2.0); the structure is that of files which MCT, the Model
Compression Toolkit, exports: which of its habits the converter insists on is not known, so all are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgekd.backends.imx500.unsaid import KERNELS, is_global, threshold, unsaid
from edgekd.errors import ProblemsError
from edgekd.graph.model import IO_KEY, Array, Graph, along, attributes, code_bits
from edgekd.graph.records import has_record
from edgekd.graph.rewrite import with_opset
from edgekd.schema.io import IoRecord

DOMAIN = "mct_quantizers"
VERSION = "1.6.0"
"""Of mct-quantizers: that which the converter 3.19 works with."""
OPSET, IR = 18, 9
BATCH = "batch_size"
TINY = np.float32(2.0**-30)
"""Threshold of a channel whose scale is zero, ours: at zero mct-quantizers' operators fail."""
_RESIZE = ("coordinate_transformation_mode", "cubic_coeff_a", "mode", "nearest_mode")


def write(graph: Graph) -> onnx.ModelProto:
    """A portable graph in the dialect, its io record with it. Every code stays.

    Codes `X.q` become the tensor `X.rounded`, made by a node named `X.q`. Inputs are called `input`, or `input_0`, ...,
    outputs `output` likewise; their first axis is free. Raises ProblemsError with all that the dialect cannot say.
    """
    if problems := [*unsaid(graph)]:
        raise ProblemsError(problems)
    return _Writer(graph).written()


@dataclass
class _Writer:
    """Walks the graph once."""

    graph: Graph
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: dict[str, Array] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    """Tensor of the portable graph -> tensor of the dialect."""
    names: set[str] = field(default_factory=set)
    """Of nodes."""
    tensors: set[str] = field(default_factory=set)
    """Names that tensors of the dialect have."""

    def written(self) -> onnx.ModelProto:
        """The whole model."""
        graph = self.graph
        self.renamed |= _ends("input", graph.inputs) | _ends("output", graph.outputs)
        self.tensors |= {*self.renamed.values()}
        for node in graph.nodes:
            if node.op_type == "QuantizeLinear":
                self._activation(node)
            elif node.op_type == "DequantizeLinear" and node.input[0] in graph.constants:
                self._parameter(node)
            elif node.op_type not in ("DequantizeLinear", "Constant"):
                self._operator(node)
        made = helper.make_graph(
            self.nodes, "edgekd", self._values(graph.inputs), self._values(graph.outputs),
            [numpy_helper.from_array(array, name) for name, array in self.initializers.items()],
        )  # fmt: skip
        opsets = [helper.make_opsetid("", graph.opset), helper.make_opsetid(DOMAIN, 1)]
        model = helper.make_model(made, opset_imports=opsets, producer_name="edgekd", ir_version=IR)
        if has_record(graph):
            helper.set_model_props(model, {IO_KEY: self._record(graph.io).model_dump_json()})
        model = with_opset(Graph(model), OPSET)
        model.ir_version = IR
        return model

    def _values(self, names: Sequence[str]) -> list[onnx.ValueInfoProto]:
        shapes = [(self.renamed[name], self.graph.shapes.get(name, ())) for name in names]
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, *shape[1:]]) for name, shape in shapes]

    def _record(self, io: IoRecord) -> IoRecord:
        def under(spec: Any) -> Any:
            return spec.model_copy(update={"name": self.renamed[spec.name]})

        return io.model_copy(update={"inputs": tuple(map(under, io.inputs)), "outputs": tuple(map(under, io.outputs))})

    def _add(self, kind: str, inputs: Sequence[str], outputs: Sequence[str], name: str, **attrs: Any) -> None:
        while name in self.names:
            name += "_"
        self.names.add(name)
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=name, **attrs))

    def _activation(self, node: onnx.NodeProto) -> None:
        """A Q/DQ pair."""
        codes, kind = node.output[0], self.graph.code_type(node)
        real = [reader.output[0] for reader in self.graph.readers.get(codes, [])]
        given_out = [self.renamed[name] for name in real if name in self.graph.outputs]
        out = given_out[0] if given_out else self._new(f"{codes.removesuffix('.q')}.rounded")
        self.renamed |= dict.fromkeys(real, out)
        self._add(
            "ActivationPOTQuantizer", [self._read(node.input[0], True)], [out], codes, domain=DOMAIN,
            num_bits=code_bits(kind), signed=int(kind.kind != "u"),
            threshold=threshold(self.graph.scalar(node.input[1]), kind), mctq_version=VERSION,
        )  # fmt: skip

    def _parameter(self, node: onnx.NodeProto) -> None:
        """A constant behind a DequantizeLinear: its real numbers; of a kernel, a threshold for each channel too."""
        codes, scale, attrs = self.graph.constants[node.input[0]], self.graph.scalar(node.input[1]), attributes(node)
        base = self._new(node.input[0].removesuffix("_codes"))
        self.initializers[base] = codes.astype(np.float32) * along(scale, codes, attrs)
        if codes.dtype == np.int32:
            self.renamed[node.output[0]] = base
            return
        out = self.renamed[node.output[0]] = self._new(f"{base}.rounded")
        bits, axis = code_bits(codes.dtype), attrs.get("axis", 1) % codes.ndim if scale.ndim else 0
        limits = np.where(scale > 0, scale.astype(np.float32) * np.float32(2 ** (bits - 1)), TINY).reshape(-1)
        self._add(
            "WeightsSymmetricQuantizer", [base, self._constant(f"{base}.threshold", limits)], [out], node.input[0],
            domain=DOMAIN, num_bits=bits, per_channel=scale.ndim, channel_axis=axis, signed=1, mctq_version=VERSION,
        )  # fmt: skip

    def _operator(self, node: onnx.NodeProto) -> None:
        """Any other operator; the mean over a picture has one of its own."""
        kind, inputs, attrs = node.op_type, list(node.input), attributes(node)
        if kind == "ReduceMean" and is_global(self.graph, node):
            kind, inputs, attrs = "GlobalAveragePool", inputs[:1], {}
        elif kind in ("Conv", "ConvTranspose"):
            attrs = _sliding(attrs, self.graph.shapes[inputs[1]][2:])
        elif kind == "Resize":
            attrs = _resizing(attrs)
        names = [self._read(name, kind in KERNELS and i > 0) for i, name in enumerate(inputs)]
        outputs = [self._made(name) for name in node.output]
        self._add(kind, names, outputs, node.name or node.output[0], **attrs)

    def _read(self, name: str, parameter: bool) -> str:
        """A tensor's name in the dialect. A constant is an initializer where it is a `parameter`, else one a reader."""
        if name not in self.graph.constants or name in self.renamed:
            return self.renamed.get(name, name)
        if not parameter:
            return self._constant(name, self.graph.constants[name])
        self.initializers[self._made(name)] = self.graph.constants[name]
        return self.renamed[name]

    def _made(self, name: str) -> str:
        """The name of what an operator makes; none where it is left out."""
        if name and name not in self.renamed:
            self.renamed[name] = self._new(name)
        return self.renamed.get(name, name)

    def _constant(self, name: str, value: Array) -> str:
        name = self._new(name)
        self._add("Constant", [], [name], name, value=numpy_helper.from_array(value))
        return name

    def _new(self, name: str) -> str:
        """A tensor's name that is not taken yet."""
        while name in self.tensors:
            name += "_"
        self.tensors.add(name)
        return name


def _ends(base: str, names: Sequence[str]) -> dict[str, str]:
    """Names of inputs or outputs as MCT gives them."""
    return {name: base if len(names) == 1 else f"{base}_{i}" for i, name in enumerate(names)}


def _sliding(attrs: dict[str, Any], kernel: tuple[int, ...]) -> dict[str, Any]:
    """A convolution's attributes, all told."""
    rank = len(kernel)
    told = {
        "dilations": [1] * rank,
        "group": 1,
        "kernel_shape": [*kernel],
        "pads": [0] * 2 * rank,
        "strides": [1] * rank,
    }
    return told | {name: value for name, value in attrs.items() if name != "auto_pad"}


def _resizing(attrs: dict[str, Any]) -> dict[str, Any]:
    """A Resize's attributes: those that MCT tells, and what is not as by default."""
    known = onnx.defs.get_schema("Resize", OPSET).attributes
    default = {
        name: helper.get_attribute_value(one.default_value) for name, one in known.items() if one.default_value.name
    }
    return {name: value for name, value in (default | attrs).items() if name in _RESIZE or value != default.get(name)}
