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
from edgekd.graph.golden.values import Codes, Value, numbers
from edgekd.graph.golden.windows import Attributes
from edgekd.graph.model import along


def dequantize(args: Sequence[Value], attrs: Attributes) -> Value:
    """Codes with their scale; per axis or per block where there are several."""
    codes, scale = (numbers(a) for a in args[:2])
    zero = numbers(args[2]) if len(args) > 2 and numbers(args[2]).size else np.zeros(scale.shape, codes.dtype)
    scale, zero = (along(a, codes, attrs) for a in (scale, zero))
    return Codes(codes, scale, zero)


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
