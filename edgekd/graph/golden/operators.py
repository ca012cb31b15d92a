"""Every operator the interpreter knows: on codes where codes suffice, else in float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekd.graph.golden.convolution import conv, conv_transpose, gemm, matmul, refuse_padding
from edgekd.graph.golden.elementwise import ELEMENTWISE
from edgekd.graph.golden.moving import MOVING, Operator
from edgekd.graph.golden.reductions import REDUCTIONS, refuse_training
from edgekd.graph.golden.resize import refuse as refuse_resize
from edgekd.graph.golden.resize import resize
from edgekd.graph.golden.values import Array, Codes, Value, numbers
from edgekd.graph.golden.windows import Attributes


def dequantize(args: Sequence[Value], attrs: Attributes) -> Value:
    """Codes with their scale; per axis or per block where there are several."""
    codes, scale = (numbers(a) for a in args[:2])
    zero = numbers(args[2]) if len(args) > 2 and numbers(args[2]).size else np.zeros(scale.shape, codes.dtype)
    scale, zero = (along(a, codes, attrs) for a in (scale, zero))
    return Codes(codes, scale, zero)


def along(parameter: Array, x: Array, attrs: Attributes) -> Array:
    """A scale or zero point in a shape that broadcasts against the tensor it belongs to."""
    axis = attrs.get("axis", 1)
    if parameter.size == 1:
        return parameter.reshape(())
    if parameter.ndim == 1:
        return parameter.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])
    return np.repeat(parameter, attrs["block_size"], axis).take(range(x.shape[axis]), axis)


REFUSE = {"BatchNormalization": refuse_training, "ConvTranspose": refuse_padding, "Resize": refuse_resize}
"""Checks of attributes, before anything runs."""

OPERATORS: dict[str, Operator] = {
    **ELEMENTWISE,
    **MOVING,
    **REDUCTIONS,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "DequantizeLinear": dequantize,
    "Gemm": gemm,
    "MatMul": matmul,
    "Resize": resize,
}
