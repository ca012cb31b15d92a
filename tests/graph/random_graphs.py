"""Random small graphs in power-of-two arithmetic: every float in them is exact, whoever computes it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from edgekd.graph.model import Graph
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.graph.graphs import pair

KINDS = ("conv", "pointwise", "depthwise", "add", "sub", "mul", "concat", "nearest", "linear", "max pool",
         "average pool", "matmul", "transpose conv", "pad", "relu", "mean", "split")  # fmt: skip


@dataclass
class Builder:
    """Grows a graph; `pool` holds (name, shape) of quantized tensors."""

    rng: np.random.Generator
    signed: bool
    shape: tuple[int, ...] = (1, 4, 8, 4)
    weight_limit: int = 127
    nodes: list = field(default_factory=list)
    constants: dict = field(default_factory=dict)
    pool: list = field(default_factory=list)
    grids: dict = field(default_factory=dict)

    def power(self, low, high, size=()):
        return np.asarray(2.0 ** self.rng.integers(low, high, size), np.float32)

    def quantize(self, source, shape, grid=None):
        name, dtype = f"t{len(self.pool)}", np.int8 if self.signed else np.uint8
        limits = np.iinfo(dtype)
        scale, zero = grid or (self.power(-5, -1), dtype(self.rng.integers(limits.min, limits.max // 2)))
        self.constants |= {f"{name}.s": scale, f"{name}.z": zero}
        self.nodes += pair(name, source, f"{name}.s", f"{name}.z")
        self.pool.append((name, shape))
        self.grids[name] = (scale, zero)

    def weight(self, shape, count, axis, x):
        """An int8 weight and an int32 bias on the grid, dequantized."""
        n, low = len(self.nodes), -self.weight_limit
        ws = self.power(-9, -5, count)
        if self.rng.random() < 0.2:
            low = 0  # a channel may be all zeros, too
        codes = self.rng.integers(low, self.weight_limit + 1, shape).astype(np.int8)
        codes[(slice(None),) * axis + (0,)] *= self.rng.integers(0, 2, dtype=np.int8)
        bias = self.rng.integers(-2000, 2000, count).astype(np.int32)
        self.constants |= {f"w{n}": codes, f"w{n}.s": ws, f"b{n}": bias,
                           f"b{n}.s": (self.grids[x][0] * ws).astype(np.float32)}  # fmt: skip
        self.nodes += [helper.make_node("DequantizeLinear", [f"w{n}", f"w{n}.s"], [f"w{n}.f"], axis=axis),
                       helper.make_node("DequantizeLinear", [f"b{n}", f"b{n}.s"], [f"b{n}.f"], axis=0)]  # fmt: skip
        return [f"w{n}.f", f"b{n}.f"]

    def apply(self, kind: str) -> None:
        name, shape = self.pool[self.rng.integers(len(self.pool))]
        (n, c, h, w), out, others = shape, f"o{len(self.nodes)}", []
        attrs, op, made, inputs, grid = {}, "", shape, [name], None
        same = [t for t, s in self.pool if s == shape]
        if kind in ("conv", "pointwise", "depthwise"):
            k, channels = (1 if kind == "pointwise" else 3), c if kind == "depthwise" else int(self.rng.integers(1, 6))
            stride, group = int(self.rng.integers(1, 3)), c if kind == "depthwise" else 1
            inputs += self.weight((channels, c // group, k, k), channels, 0, name)
            attrs = {"pads": [k // 2] * 4, "strides": [stride] * 2, "group": group}
            op, made = "Conv", (n, channels, -(-h // stride), -(-w // stride))
        elif kind == "transpose conv":
            inputs += self.weight((c, 2, 2, 2), 2, 1, name)
            op, made, attrs = "ConvTranspose", (n, 2, 2 * h, 2 * w), {"strides": [2, 2]}
        elif kind in ("add", "sub", "mul"):
            op, inputs = kind.capitalize(), [name, same[self.rng.integers(len(same))]]
        elif kind == "concat":
            op, inputs, attrs, made = "Concat", [name, same[-1]], {"axis": 1}, (n, 2 * c, h, w)
        elif kind in ("nearest", "linear"):
            self.constants["r"] = np.array([1, 1, 2, 2], np.float32)
            op, inputs, made = "Resize", [name, "", "r"], (n, c, 2 * h, 2 * w)
            attrs = {"mode": kind, "coordinate_transformation_mode": "half_pixel"}
            grid = self.grids[name] if kind == "nearest" else None
        elif kind == "max pool":
            op, made, grid = "MaxPool", (n, c, -(-h // 2), -(-w // 2)), self.grids[name]
            attrs = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4}
        elif kind == "average pool":
            k = [2 if h > 1 else 1, 2 if w > 1 else 1]
            op, attrs, made = "AveragePool", {"kernel_shape": k, "strides": k}, (n, c, h // k[0], w // k[1])
        elif kind == "matmul":
            self.nodes.append(helper.make_node("Transpose", [name], [f"{out}.t"], perm=[0, 1, 3, 2]))
            op, inputs, made = "MatMul", [f"{out}.t", same[-1]], (n, c, w, w)
        elif kind == "pad":
            self.constants["p"] = np.array([0, 0, 1, 0, 0, 0, 0, 1], np.int64)
            op, inputs, made = "Pad", [name, "p"], (n, c, h + 1, w + 1)
        elif kind == "relu":
            op = "Relu"
        elif kind == "mean":
            axes = [a for a in (0, 2, 3) if shape[a].bit_count() == 1]  # of a power of two, so exact; the batch is one
            self.constants[f"{out}.axes"] = np.array(axes, np.int64)
            op, inputs = "ReduceMean", [name, f"{out}.axes"]
            made = tuple(1 if a in axes else size for a, size in enumerate(shape))
        elif kind == "split":
            cut = c // 2
            op, others, attrs, made = (
                "Split",
                ([f"{out}.b"] if cut else []),
                {"axis": 1, "num_outputs": 2 if cut else 1},
                (n, c - cut, h, w),
            )
        self.nodes.append(helper.make_node(op, inputs, [out, *others], **attrs))
        if self.rng.random() < 0.4 and op != "Split":
            self.nodes.append(helper.make_node("Relu", [out], [f"{out}.r"]))
            out = f"{out}.r"
        self.quantize(out, made, grid)

    def graph(self, opset: int = 21) -> Graph:
        last = self.pool[-1][0]
        graph = helper.make_graph(
            self.nodes, "g", [helper.make_tensor_value_info("image", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(last, TensorProto.FLOAT, self.pool[-1][1])],
            [numpy_helper.from_array(np.asarray(v), n) for n, v in self.constants.items()],
        )  # fmt: skip
        return Graph(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10))


@st.composite
def graphs(draw, weight_limit=127):
    """(graph, image) of one to seven operators."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from([(1, 4, 8, 4), (2, 3, 5, 7), (1, 1, 1, 1)]))
    builder = Builder(rng, draw(st.booleans()), shape, weight_limit)
    builder.quantize("image", shape)
    for kind in draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=7)):
        builder.apply(kind)
    image = rng.normal(0, draw(st.sampled_from([0.0, 1.0, 30.0])), shape).astype(np.float32)
    return builder.graph(), {"image": image}
