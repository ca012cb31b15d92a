"""Every operator the interpreter knows: on codes where codes suffice, else in float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import erf, prod

import numpy as np

from edgekd.graph.golden import rounding
from edgekd.graph.golden.convolution import Attributes, conv, conv_transpose, gemm, matmul
from edgekd.graph.golden.values import Array, Codes, Pending, Value, real

Operator = Callable[[Sequence[Value], Attributes], Value]


def dequantize(args: Sequence[Value], attrs: Attributes) -> Value:
    """Codes with their scale; per axis where there are several."""
    codes, scale = (np.asarray(a) for a in args[:2])
    zero = np.asarray(args[2]) if len(args) > 2 else np.zeros(scale.shape, codes.dtype)
    if scale.size == 1:
        scale, zero = scale.reshape(()), zero.reshape(())
    elif scale.ndim == 1:
        shape = [1] * codes.ndim
        shape[attrs.get("axis", 1)] = -1
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return Codes(codes, scale, zero)


def relu(args: Sequence[Value], attrs: Attributes) -> Value:
    """Fused into what makes its input."""
    x = args[0]
    return np.maximum(x, np.float32(0)) if isinstance(x, np.ndarray) else x.rectified()


def clip(args: Sequence[Value], attrs: Attributes) -> Value:
    """Limits may be absent."""
    ends = [real(a) if np.asarray(a).size else None for a in args[1:3]]
    low, high = (*ends, None, None)[:2]
    out: Array = np.clip(real(args[0]), -np.inf if low is None else low, np.inf if high is None else high)
    return out.astype(np.float32)


def sigmoid(args: Sequence[Value], attrs: Attributes) -> Value:
    """Of codes in `tfl_double`: the rounded real sigmoid, as LiteRT's table of 256 entries."""
    x = args[0]
    values = _logistic(real(x))
    if not isinstance(x, Codes):
        return values
    exact = 1 / (1 + np.exp(-x.integers * np.float64(x.scale)))
    return Pending(values, lambda s, z: rounding.saturate(rounding.half_away(exact / np.float64(s)) + z, z))


def add(args: Sequence[Value], attrs: Attributes, sign: int = 1) -> Value:
    """Sum or difference; of two code tensors with one scale each, an integer kernel in `tfl_double`."""
    a, b = args
    total = real(a) + real(b) if sign > 0 else real(a) - real(b)
    if isinstance(a, Codes) and isinstance(b, Codes) and a.scale.size == b.scale.size == 1:
        first, second = a.integers, sign * b.integers
        sa, sb = float(a.scale.item()), float(b.scale.item())
        return Pending(total, lambda s, z: rounding.tfl_add(first, sa, second, sb, float(s), z))
    return total


def mul(args: Sequence[Value], attrs: Attributes) -> Value:
    """Product; of two code tensors an integer kernel in `tfl_double`."""
    a, b = args
    product = real(a) * real(b)
    if isinstance(a, Codes) and isinstance(b, Codes):
        sums, scale = a.integers * b.integers, np.float64(a.scale) * np.float64(b.scale)
        return Pending(product, lambda s, z: rounding.tfl_double(sums, scale / np.float64(s), z))
    return product


def mean(args: Sequence[Value], attrs: Attributes) -> Value:
    """ReduceMean and GlobalAveragePool over trailing axes; integers are summed exactly."""
    x = args[0]
    rank = (x.codes if isinstance(x, Codes) else real(x)).ndim
    given = np.asarray(args[1]).ravel() if len(args) > 1 and np.asarray(args[1]).size else range(2, rank)
    axes, keep = tuple(int(a) for a in given), bool(attrs.get("keepdims", 1))
    if not isinstance(x, Codes):
        out: Array = real(x).mean(axes, dtype=np.float64, keepdims=keep)
        return out.astype(np.float32)
    sums = x.integers.sum(axes, keepdims=keep)
    count, scale = prod(x.codes.shape[a] for a in axes), x.scale
    values = (sums / count * np.float64(scale)).astype(np.float32)
    return Pending(values, lambda s, z: rounding.tfl_mean(sums, count, float(scale) / float(s), z))


def moved(function: Callable[[Array, Sequence[Value], Attributes], Array]) -> Operator:
    """An operator that moves values without changing them: codes stay codes, of one scale."""

    def run(args: Sequence[Value], attrs: Attributes) -> Value:
        x = args[0]
        if isinstance(x, Codes) and x.scale.size == 1:
            scale, zero = x.scale.reshape(()), x.zero.reshape(())
            return Codes(function(x.codes, args, attrs), scale, zero)
        return function(real(x), args, attrs)

    return run


def _resize(x: Array, args: Sequence[Value], attrs: Attributes) -> Array:
    """Nearest neighbour by whole factors."""
    if len(args) > 3 and np.asarray(args[3]).size:
        factors = np.asarray(args[3], float) / x.shape
    else:
        factors = np.asarray(args[2], float)
    whole = np.rint(factors).astype(int)
    if attrs.get("mode", b"nearest") != b"nearest" or not np.array_equal(whole, factors):
        raise NotImplementedError("only nearest-neighbour resizing by whole factors can be checked")
    for axis, factor in enumerate(whole):
        x = np.repeat(x, factor, axis) if factor > 1 else x
    return x


def _max_pool(x: Array, args: Sequence[Value], attrs: Attributes) -> Array:
    kernel, pads = attrs["kernel_shape"], attrs.get("pads", (0, 0, 0, 0))
    strides = attrs.get("strides", (1, 1))
    lowest = np.iinfo(x.dtype).min if np.issubdtype(x.dtype, np.integer) else -np.inf
    x = np.pad(x, ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])), constant_values=lowest)
    views = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(2, 3))
    out: Array = views[:, :, :: strides[0], :: strides[1]].max((-2, -1))
    return out


def _reshape(x: Array, args: Sequence[Value], attrs: Attributes) -> Array:
    wanted = [x.shape[i] if size == 0 else int(size) for i, size in enumerate(np.asarray(args[1]))]
    return x.reshape(wanted)


def _flatten(x: Array, args: Sequence[Value], attrs: Attributes) -> Array:
    return x.reshape(prod(x.shape[: attrs.get("axis", 1)]), -1)


def _slice(x: Array, args: Sequence[Value], attrs: Attributes) -> Array:
    starts, ends = (np.asarray(a).ravel() for a in args[1:3])
    axes = np.asarray(args[3]).ravel() if len(args) > 3 and np.asarray(args[3]).size else range(len(starts))
    steps = np.asarray(args[4]).ravel() if len(args) > 4 and np.asarray(args[4]).size else [1] * len(starts)
    cuts = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        cuts[axis] = slice(int(start), int(end) if abs(int(end)) < 2**31 - 1 else None, int(step))
    return x[tuple(cuts)]


def concat(args: Sequence[Value], attrs: Attributes) -> Value:
    """Codes of equal scale stay codes."""
    parts = [a for a in args if isinstance(a, Codes)]
    same = len(parts) == len(args) and all(
        p.scale.size == 1 and p.scale.item() == parts[0].scale.item() and p.zero.item() == parts[0].zero.item()
        for p in parts
    )
    if same:
        return Codes(np.concatenate([p.codes for p in parts], attrs["axis"]), parts[0].scale, parts[0].zero)
    return np.concatenate([real(a) for a in args], attrs["axis"])


def softmax(args: Sequence[Value], attrs: Attributes) -> Value:
    """Over one axis."""
    x, axis = real(args[0]), attrs.get("axis", -1)
    powers = np.exp(x - x.max(axis, keepdims=True))
    out: Array = powers / powers.sum(axis, keepdims=True)
    return out


def layer_norm(args: Sequence[Value], attrs: Attributes) -> Value:
    """Over the axes from `axis` on."""
    x, gain = real(args[0]), real(args[1])
    axes = tuple(range(attrs.get("axis", -1) % x.ndim, x.ndim))
    centred = x - x.mean(axes, keepdims=True)
    deviation = np.sqrt(np.square(centred).mean(axes, keepdims=True) + np.float32(attrs.get("epsilon", 1e-5)))
    out: Array = centred / deviation * gain + (real(args[2]) if len(args) > 2 else np.float32(0))
    return out.astype(np.float32)


def gelu(args: Sequence[Value], attrs: Attributes) -> Value:
    """Exact, or with tanh."""
    x = real(args[0]).astype(np.float64)
    if attrs.get("approximate", b"none") == b"tanh":
        inner = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
    else:
        inner = np.vectorize(erf, otypes=[np.float64])(x / np.sqrt(2))
    out: Array = 0.5 * x * (1 + inner)
    return out.astype(np.float32)


def _logistic(x: Array) -> Array:
    out: Array = np.float32(1) / (np.float32(1) + np.exp(-x))
    return out


def _unary(function: Callable[[Array], Array]) -> Operator:
    return lambda args, attrs: function(real(args[0])).astype(np.float32)


def _hard_swish(x: Array) -> Array:
    out: Array = x * np.clip(x / 6 + np.float32(0.5), 0, 1)
    return out


def _hard_sigmoid(args: Sequence[Value], attrs: Attributes) -> Value:
    out: Array = np.clip(real(args[0]) * np.float32(attrs.get("alpha", 0.2)) + np.float32(attrs.get("beta", 0.5)), 0, 1)
    return out


OPERATORS: dict[str, Operator] = {
    "Add": add,
    "Clip": clip,
    "Concat": concat,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "DequantizeLinear": dequantize,
    "Div": lambda args, attrs: real(args[0]) / real(args[1]),
    "Erf": _unary(lambda x: np.vectorize(erf, otypes=[np.float64])(x)),
    "Flatten": moved(_flatten),
    "Gelu": gelu,
    "Gemm": gemm,
    "GlobalAveragePool": lambda args, attrs: mean(args[:1], attrs),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _unary(_hard_swish),
    "Identity": lambda args, attrs: args[0],
    "LayerNormalization": layer_norm,
    "MatMul": matmul,
    "MaxPool": moved(_max_pool),
    "Mul": mul,
    "ReduceMean": mean,
    "Relu": relu,
    "Reshape": moved(_reshape),
    "Resize": moved(_resize),
    "Sigmoid": sigmoid,
    "Slice": moved(_slice),
    "Softmax": softmax,
    "Squeeze": moved(lambda x, args, attrs: x.squeeze(tuple(int(a) for a in np.asarray(args[1])))),
    "Sub": partial(add, sign=-1),
    "Tanh": _unary(np.tanh),
    "Transpose": moved(lambda x, args, attrs: x.transpose(attrs["perm"])),
    "Unsqueeze": moved(lambda x, args, attrs: np.expand_dims(x, tuple(int(a) for a in np.asarray(args[1])))),
}
