"""The golden interpreter: what the integers of a portable graph are, by definition (`rne_f32`).

Convolutions add integers exactly. Requantisation multiplies the accumulator, as float32, by the float32 number
`s_x * s_w / s_y` and rounds half to even, as ONNX Runtime's QLinearConv and XNNPACK do. Where the graph leaves the
integers, operators compute in float32 and a QuantizeLinear divides by its scale and rounds half to even.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import Problem, RequestError
from edgekd.graph.model import Array, Graph, attributes

Trace = dict[str, Array]
Float = NDArray[np.float32]


@dataclass(frozen=True)
class Codes:
    """A dequantized tensor that is still integers: `(codes - zero) * scale`."""

    codes: Array
    scale: Array
    zero: Array

    @property
    def centred(self) -> Array:
        """Codes minus zero point, float32 (exact)."""
        return self.codes.astype(np.float32) - self.zero.astype(np.float32)

    @property
    def real(self) -> Float:
        """The values, float32."""
        return (self.centred * self.scale).astype(np.float32)


@dataclass(frozen=True)
class Sums:
    """A convolution's accumulators, integers kept as floats, and the scale of each channel."""

    sums: Array
    scale: Array

    @property
    def real(self) -> Float:
        """The values, float32."""
        return self.sums.astype(np.float32) * self.scale


Value = Codes | Sums | Array


def real(value: Value) -> Float:
    """Any value as float32 numbers."""
    return value.real if isinstance(value, (Codes, Sums)) else value.astype(np.float32)


def run(graph: Graph, inputs: Mapping[str, Array], force: Mapping[str, Array] | None = None) -> Trace:
    """Codes of every QuantizeLinear and the graph's outputs, by tensor name.

    With `force`, every tensor named there is replaced by the codes given, after its own were noted: the result then
    tells what each operator makes of another engine's inputs, so that no difference is carried on.
    Raises RequestError at an operator it does not know.
    """
    force = force or {}
    values: dict[str, Value] = {**graph.constants, **inputs}
    trace: Trace = {}
    last = {name: i for i, node in enumerate(graph.nodes) for name in node.input}
    for i, node in enumerate(graph.nodes):
        if node.op_type == "Constant":
            continue
        compute = _OPERATORS.get(node.op_type)
        if compute is None:
            raise RequestError(f"operator `{node.op_type}` at `{node.output[0]}` cannot be checked")
        result = compute([values[n] if n else np.empty(0) for n in node.input], attributes(node))
        name = node.output[0]
        if node.op_type == "QuantizeLinear":
            trace[name] = real_codes = np.asarray(result)
            result = force.get(name, real_codes)
        values[name] = result
        for used in node.input:
            if last.get(used) == i and used not in graph.outputs:
                values.pop(used, None)
    return trace | {name: real(values[name]) for name in graph.outputs}


def check(graph: Graph) -> list[Problem]:
    """Operators the interpreter does not know, one problem each."""
    unknown = {n.op_type: n.output[0] for n in reversed(graph.nodes) if n.op_type not in _OPERATORS}
    return [Problem(where, f"operator `{kind}` has no integer reference, so no conversion of it could be checked")
            for kind, where in sorted(unknown.items()) if kind != "Constant"]  # fmt: skip


def quantize(x: Value, scale: Array, zero: Array) -> Array:
    """Codes of a value: half to even, saturated to the zero point's type."""
    limits = np.iinfo(zero.dtype)
    if isinstance(x, Sums):
        scaled: Array = x.sums.astype(np.float32) * (x.scale / scale).astype(np.float32)
    else:
        scaled = real(x) / scale
    codes: Array = np.clip(np.rint(scaled) + zero.astype(np.float32), limits.min, limits.max).astype(zero.dtype)
    return codes


def _quantize(args: Sequence[Value], attrs: dict[str, Any]) -> Value:
    return quantize(args[0], np.asarray(args[1]), np.asarray(args[2]))


def _dequantize(args: Sequence[Value], attrs: dict[str, Any]) -> Value:
    codes, scale, zero = (np.asarray(a) for a in args)
    if scale.ndim == 1:
        shape = [1] * codes.ndim
        shape[attrs.get("axis", 1)] = -1
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return Codes(codes, scale, zero)


def _conv(args: Sequence[Value], attrs: dict[str, Any]) -> Value:
    x, weight, bias = args[0], args[1], args[2] if len(args) > 2 else None
    convolve = partial(
        convolution,
        strides=attrs.get("strides", (1, 1)),
        pads=attrs.get("pads", (0, 0, 0, 0)),
        dilations=attrs.get("dilations", (1, 1)),
        groups=attrs.get("group", 1),
    )
    if isinstance(x, Codes) and isinstance(weight, Codes):
        offset = bias.centred if isinstance(bias, Codes) else None
        scale = (x.scale * weight.scale).astype(np.float32).reshape(-1, 1, 1)
        if bias is not None and offset is None:  # a float bias on the accumulator's grid
            offset = np.rint(real(bias).astype(np.float64) / scale.ravel().astype(np.float64))
        exact = _accumulator(x, weight, offset)
        sums = convolve(x.centred.astype(exact), weight.centred.astype(exact))
        return Sums(sums if offset is None else sums + offset.astype(exact).reshape(-1, 1, 1), scale)
    out = convolve(real(x), real(weight))
    return out if bias is None else out + real(bias).reshape(-1, 1, 1)


def _accumulator(x: Codes, weight: Codes, offset: Array | None) -> type[np.floating[Any]]:
    """float32 where every partial sum is an integer below 2^24, so exact in any order; else float64."""
    taps = np.abs(weight.centred.astype(np.float64)).sum(axis=(1, 2, 3))
    top = float(taps.max()) * float(np.abs(x.centred).max(initial=0))
    top += 0.0 if offset is None else float(np.abs(offset).max())
    return np.float32 if top < 2**24 else np.float64


def convolution(
    x: Array,
    weight: Array,
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    groups: int,
) -> Array:
    """(N, C, H, W) with (O, C / groups, kh, kw) to (N, O, H', W'), as ONNX Conv without bias."""
    x = np.pad(x, ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
    kernel = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilations, strict=True)]
    views = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(2, 3))
    views = views[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
    n, _, height, width = views.shape[:4]
    parts = []
    for part, taps in zip(np.split(views, groups, 1), np.split(weight, groups, 0), strict=True):
        columns = part.transpose(0, 1, 4, 5, 2, 3).reshape(n, taps[0].size, height * width)
        parts.append((taps.reshape(len(taps), -1) @ columns).reshape(n, len(taps), height, width))
    return np.concatenate(parts, 1) if groups > 1 else parts[0]


def _relu(args: Sequence[Value], attrs: dict[str, Any]) -> Value:
    x = args[0]
    return Sums(np.maximum(x.sums, 0), x.scale) if isinstance(x, Sums) else np.maximum(real(x), np.float32(0))


def _clip(args: Sequence[Value], attrs: dict[str, Any]) -> Value:
    low, high = (
        real(a) if np.size(np.asarray(a)) else np.float32(d) for a, d in zip(args[1:3], (-np.inf, np.inf), strict=True)
    )
    return np.clip(real(args[0]), low, high)


def _sigmoid(args: Sequence[Value], attrs: dict[str, Any]) -> Value:
    return np.float32(1) / (np.float32(1) + np.exp(-real(args[0])))


def _resize(args: Sequence[Value], attrs: dict[str, Any]) -> Value:
    """Nearest neighbour by whole factors; codes stay codes."""
    x = args[0]
    array = x.codes if isinstance(x, Codes) else real(x)
    if len(args) > 3 and np.asarray(args[3]).size:
        factors = np.asarray(args[3], float) / array.shape
    else:
        factors = np.asarray(args[2], float)
    whole = np.rint(factors).astype(int)
    if attrs.get("mode", b"nearest") != b"nearest" or not np.array_equal(whole, factors):
        raise RequestError("only nearest-neighbour resizing by whole factors can be checked")
    for axis, factor in enumerate(whole):
        array = np.repeat(array, factor, axis) if factor > 1 else array
    return Codes(array, x.scale, x.zero) if isinstance(x, Codes) else array


def _max_pool(args: Sequence[Value], attrs: dict[str, Any]) -> Value:
    x, kernel = real(args[0]), attrs["kernel_shape"]
    pads, strides = attrs.get("pads", (0, 0, 0, 0)), attrs.get("strides", (1, 1))
    x = np.pad(x, ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])), constant_values=-np.inf)
    views = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(2, 3))
    out: Array = views[:, :, :: strides[0], :: strides[1]].max((-2, -1))
    return out


def _elementwise(
    function: Callable[[Float, Float], Float],
) -> Callable[[Sequence[Value], dict[str, Any]], Value]:
    return lambda args, attrs: function(real(args[0]), real(args[1]))


_OPERATORS: dict[str, Callable[[Sequence[Value], dict[str, Any]], Value]] = {
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "Conv": _conv,
    "Relu": _relu,
    "Clip": _clip,
    "Add": _elementwise(np.add),
    "Sub": _elementwise(np.subtract),
    "Mul": _elementwise(np.multiply),
    "Sigmoid": _sigmoid,
    "Resize": _resize,
    "MaxPool": _max_pool,
    "Concat": lambda args, attrs: np.concatenate([real(a) for a in args], attrs["axis"]),
    "Identity": lambda args, attrs: args[0],
}
