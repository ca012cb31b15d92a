"""Other tools' post-training quantization, as controls of ours: the same net, the same batches, the same integers.

A control takes what its tool offers for the target's arithmetic and leaves the rest at the tool's defaults: where pairs
sit, how ranges are found, whether biases are corrected. No torch.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from edgekd.errors import Problem, RequestError
from edgekd.graph.model import Array, Graph, with_constants
from edgekd.quantize.quiet import silence
from edgekd.schema.target import Arithmetic

Batches = Sequence[dict[str, Array]]
Quantizer = Callable[[onnx.ModelProto, Batches, Arithmetic], onnx.ModelProto]


@dataclass(frozen=True)
class Tool:
    """A quantizer that is not ours."""

    package: str
    extra: str
    """What of edgekd to install for it."""
    quantize: Quantizer


def onnxruntime(model: onnx.ModelProto, batches: Batches, arithmetic: Arithmetic) -> onnx.ModelProto:
    """`quantize_static`: Q/DQ pairs around every operator it knows, ranges from the extremes over all batches."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        rest = iter(batches)

        def get_next(self) -> dict[str, Array] | None:
            return next(self.rest, None)

    activations = arithmetic.activations
    with tempfile.TemporaryDirectory() as folder, silence():
        path = Path(folder) / "graph.onnx"
        quantize_static(
            _copy(model),
            path,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=arithmetic.weights.per == "channel",
            activation_type=QuantType.QInt8 if activations.signed else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"ActivationSymmetric": activations.symmetric, "WeightSymmetric": True},
        )
        return onnx.load(path)


def nncf(model: onnx.ModelProto, batches: Batches, arithmetic: Arithmetic) -> onnx.ModelProto:
    """`nncf.quantize`: pairs at inputs of weighted operators, mean extremes of the batches, biases corrected.

    Its symmetric tensors that are never negative are unsigned, twice as fine; where the target has signed codes only,
    `signed_codes` keeps their range. Affine tensors are int8 where they have negative values: uint8, moved by 128.
    """
    with _no_telemetry(), silence():
        import nncf as tool
        from nncf.common.quantization.structs import QuantizationScheme as Mode
        from nncf.quantization.advanced_parameters import (
            AdvancedQuantizationParameters,
            OverflowFix,
            QuantizationParameters,
        )

        symmetric = arithmetic.activations.symmetric
        parameters = AdvancedQuantizationParameters(
            overflow_fix=OverflowFix.DISABLE,  # all 8 bits of a weight
            activations_quantization_params=QuantizationParameters(
                mode=Mode.SYMMETRIC if symmetric else Mode.ASYMMETRIC, per_channel=False
            ),
            weights_quantization_params=QuantizationParameters(
                mode=Mode.SYMMETRIC, per_channel=arithmetic.weights.per == "channel"
            ),
        )
        data = tool.Dataset(batches, lambda batch: batch)
        made: onnx.ModelProto = tool.quantize(
            _copy(model), data, subset_size=len(batches), advanced_parameters=parameters
        )
    only_signed = arithmetic.activations.signed and not arithmetic.activations.unsigned_relu
    return signed_codes(made) if symmetric and only_signed else made


TOOLS = {
    "ptq-nncf": Tool("nncf", "nncf", nncf),
    "ptq-onnxruntime": Tool("onnxruntime", "train", onnxruntime),
}


def left_out(arm: str, method: str, arithmetic: Arithmetic) -> Problem | None:
    """Why an arm cannot be made here, if so."""
    tool, weights, activations = TOOLS[method], arithmetic.weights, arithmetic.activations
    if (weights.scale, activations.scale, weights.bits, activations.bits) != ("real", "real", 8, 8):
        here = ", ".join(f"{each.bits}-bit {what} with {each.scale} scales"
                         for what, each in (("weights", weights), ("activations", activations)))  # fmt: skip
        message = f"left out: `{method}` gives 8-bit codes with real scales, the target has {here}"
        return Problem(f"arms.{arm}", message, "compare it on a target of 8 bits")
    if find_spec(tool.package) is None:
        hint = f"pip install 'edgekd[{tool.extra}]'"
        return Problem(f"arms.{arm}", f"left out: `{tool.package}` is not installed", hint, missing=True)
    return None


def signed_codes(model: onnx.ModelProto) -> onnx.ModelProto:
    """uint8 codes with zero point 0 as int8 ones of the same range: the scale grows by 255 / 127."""
    graph, changed = Graph(model), dict[str, Array]()
    for node in graph.nodes:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and len(node.input) > 2:
            scale, zero = (graph.constants[name] for name in node.input[1:3])
            if zero.dtype == np.uint8 and not zero.any():
                changed[node.input[1]] = (scale * np.float64(255 / 127)).astype(np.float32)
                changed[node.input[2]] = zero.astype(np.int8)
    return with_constants(model, changed)


def at_shape(made: onnx.ModelProto, small: onnx.ModelProto, large: onnx.ModelProto) -> onnx.ModelProto:
    """`made`, quantized from the float graph `small`, at the shape of `large`: the same net exported at another size.

    What differs between the two float graphs is taken from `large`: inputs, outputs and constants that hold sizes.
    Raises RequestError when they differ in more.
    """
    old, new = Graph(small), Graph(large)
    if [n.op_type for n in old.nodes] != [n.op_type for n in new.nodes] or list(old.constants) != list(new.constants):
        raise RequestError("the float graph has other operators at the deployed size than at the batches'")
    sizes = {name for name, array in new.constants.items() if not np.array_equal(array, old.constants[name])}
    out = with_constants(made, {name: new.constants[name] for name in sizes & {t.name for t in made.graph.initializer}})
    for node in out.graph.node:
        if node.op_type == "Constant" and node.output[0] in sizes:
            value = numpy_helper.from_array(new.constants[node.output[0]])
            node.attribute[:] = [onnx.helper.make_attribute("value", value)]
    del out.graph.value_info[:]
    for mine, theirs in ((out.graph.input, large.graph.input), (out.graph.output, large.graph.output)):
        del mine[:]
        mine.extend(theirs)
    return out


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    """The tools change what they are given."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


@contextmanager
def _no_telemetry() -> Iterator[None]:
    """NNCF sends usage data unless these say that it runs in CI; both are read when it is imported."""
    before = dict(os.environ)
    os.environ |= {"NNCF_CI": "1", "CI": "true"}
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before
