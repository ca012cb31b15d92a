"""Small Q/DQ graphs of one operator each, with random scales, and how they are run."""

from __future__ import annotations

import numpy as np
from edgekd.backends.litert.read import read_tflite
from edgekd.backends.litert.structure import compare
from edgekd.backends.litert.write import write
from edgekd.graph import golden
from edgekd.graph.model import IO_KEY, Graph
from edgekd.runners import tfl
from edgekd.schema.io import IoRecord, TensorInput, TensorOutput
from onnx import TensorProto, helper, numpy_helper

LITERT = {"Sigmoid": (1 / 256, -128), "Softmax": (1 / 256, -128), "Tanh": (1 / 128, 0)}


class Net:
    """Grows a graph whose every value passes a quantizer."""

    def __init__(self, seed: int, **inputs: tuple[int, ...]) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes, self.constants, self.inputs, self.shapes, self.grids = [], {}, inputs, {}, {}
        for name, shape in inputs.items():
            self.quantize(f"{name}.in", name, shape)

    def scale(self, low=0.01, high=0.1):
        return np.float32(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def quantize(self, name, source, shape, grid=None):
        scale, zero = grid or (self.scale(), int(self.rng.integers(-100, 100)))
        self.constants |= {f"{name}.s": np.float32(scale), f"{name}.z": np.int8(zero)}
        self.nodes += [
            helper.make_node("QuantizeLinear", [source, f"{name}.s", f"{name}.z"], [f"{name}.q"]),
            helper.make_node("DequantizeLinear", [f"{name}.q", f"{name}.s", f"{name}.z"], [name]),
        ]
        self.shapes[name], self.grids[name] = shape, (np.float32(scale), zero)
        return name

    def weight(self, x, shape, axis, per_channel=True, bias=True):
        """Names of a weight and a bias; `axis` are the output channels."""
        n, channels = f"w{len(self.nodes)}", shape[axis]
        scale = np.exp(self.rng.uniform(-6, -3, channels if per_channel else ())).astype(np.float32)
        self.constants |= {n: self.rng.integers(-127, 128, shape).astype(np.int8), f"{n}.s": scale}
        self.nodes.append(helper.make_node("DequantizeLinear", [n, f"{n}.s"], [f"{n}.f"], axis=axis))
        if not bias:
            return [f"{n}.f"]
        step = np.broadcast_to((self.grids[x][0] * scale).astype(np.float32), (channels,))
        self.constants |= {f"{n}.b": self.rng.integers(-900, 900, channels).astype(np.int32), f"{n}.bs": step.copy()}
        self.nodes.append(helper.make_node("DequantizeLinear", [f"{n}.b", f"{n}.bs"], [f"{n}.bf"], axis=0))
        return [f"{n}.f", f"{n}.bf"]

    def constant(self, shape):
        """A constant operand as codes on a grid of its own."""
        n = f"k{len(self.nodes)}"
        self.constants |= {n: self.rng.integers(-128, 128, shape).astype(np.int8), f"{n}.s": self.scale(),
                           f"{n}.z": np.int8(self.rng.integers(-100, 100))}  # fmt: skip
        self.nodes.append(helper.make_node("DequantizeLinear", [n, f"{n}.s", f"{n}.z"], [f"{n}.f"]))
        return f"{n}.f"

    def ints(self, values):
        n = f"i{len(self.nodes)}.{len(self.constants)}"
        self.constants[n] = np.asarray(values, np.int64)
        return n

    def then(self, kind, inputs, shape, grid=None, relu=None, **attrs):
        """An operator and its quantizer; `grid` may be the name of a value that shares its own."""
        out = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [f"{out}.v"], **attrs))
        source = f"{out}.v"
        if relu is not None:
            self.constants |= {"zero": np.float32(0), "six": np.float32(6)}
            clip = helper.make_node("Clip", [source, "zero", "six"], [f"{out}.r"])
            self.nodes.append(clip if relu == 6 else helper.make_node("Relu", [source], [f"{out}.r"]))
            source = f"{out}.r"
        return self.quantize(out, source, shape, self.grids.get(grid, grid) if isinstance(grid, str) else grid)

    def graph(self, *outputs) -> Graph:
        outputs = outputs or (list(self.shapes)[-1],)
        made = helper.make_graph(
            self.nodes, "g",
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in self.inputs.items()],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, self.shapes[n]) for n in outputs],
            [numpy_helper.from_array(np.asarray(v), n) for n, v in self.constants.items()],
        )  # fmt: skip
        model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        inputs = [TensorInput(name=n, shape=(1, *s[1:]), ends=(-6, 6)) for n, s in self.inputs.items()]
        io = IoRecord(inputs=tuple(inputs), outputs=tuple(TensorOutput(name=n) for n in outputs))
        helper.set_model_props(model, {IO_KEY: io.model_dump_json()})
        return Graph(model)

    def values(self):
        """Inputs that reach every code."""
        return {n: self.rng.normal(0, 2, s).astype(np.float32) for n, s in self.inputs.items()}


def run(graph, inputs, folder, kernels="reference", io="float"):
    """Codes and outputs by LiteRT, and what was written."""
    written = write(graph, io, kernels)
    (folder / "model.tflite").write_bytes(written.data)
    names = [node.output[0] for node in graph.codes()]
    session = tfl.Session(folder / "model.tflite", names, kernels=kernels, layouts=written.layouts,
                          names=written.names, outputs=graph.outputs)  # fmt: skip
    return session.run(inputs), written


def check(graph, inputs, folder, int8=True, rounding="tfl_double"):
    """Reference kernels make every code that the integer reference makes, all in int8; read back, the file is equal."""
    found, written = run(graph, inputs, folder)
    wanted = golden.run(graph, inputs, rounding=rounding)
    assert set(wanted) == set(found)
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert not (int8 and written.operators["float"]), written.operators
    assert compare(graph, written.data, written.names) == []
    if all(len(x) == 1 for x in inputs.values()):
        read_back(graph, inputs, folder, written)
    return found


def read_back(graph, inputs, folder, written):
    """The file as a graph again gives the same answers; what has four axes there is taken for NHWC."""
    again = read_tflite(folder / "model.tflite")
    fed = {n: x if again.shapes[n] == x.shape else x.transpose(written.layouts[n]) for n, x in inputs.items()}
    wanted, found = (golden.run(g, x, rounding="tfl_double") for g, x in ((graph, inputs), (again, fed)))
    for name in graph.outputs:
        value = wanted[name]
        value = value.transpose(written.layouts.get(name, range(value.ndim)))
        value = value.transpose(0, 3, 1, 2) if value.ndim == 4 else value
        np.testing.assert_array_equal(found[name], value, err_msg=name)
