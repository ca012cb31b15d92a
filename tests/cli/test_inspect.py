"""`edgekd inspect` of a file that another tool wrote: a free batch, no io record, its own names."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from edgekd.cli.inspect import encoding
from edgekd.graph import golden
from edgekd.graph.model import Graph, read_model
from edgekd.schema.io import ImageInput, TensorInput
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

from tests.graph.ort import reference

RNG = np.random.default_rng(0)


class Noise(CalibrationDataReader):
    def __init__(self):
        self.batches = iter([{"x": RNG.normal(0, 1, (2, 3, 8, 8)).astype(np.float32)} for _ in range(3)])

    def get_next(self):
        return next(self.batches, None)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """A convolution, an activation and a classifier, quantized by ONNX Runtime's own tool."""
    folder = tmp_path_factory.mktemp("foreign")
    constants = {"w1": (8, 3, 3, 3), "b1": (8,), "w2": (8, 5), "b2": (5,)}
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c"], name="conv", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("HardSwish", ["c"], ["h"], name="act"),
        helper.make_node("GlobalAveragePool", ["h"], ["g"], name="pool"),
        helper.make_node("Flatten", ["g"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "w2", "b2"], ["y"], name="classes"),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 5])],
        [numpy_helper.from_array(RNG.normal(0, 0.3, s).astype(np.float32), n) for n, s in constants.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "f.onnx")
    quantize_static(folder / "f.onnx", folder / "q.onnx", Noise(), quant_format=QuantFormat.QDQ, per_channel=True)
    return folder


def test_tables(cli, foreign):
    shown = cli("inspect", foreign / "q.onnx")
    assert shown.returncode == 0
    lines = shown.stdout.splitlines()
    assert lines[0].split() == ["tensor", "operator", "shape", "MACs", "bytes", "reads", "bits", "left"]
    assert any(line.split()[1:4] == ["Conv", "1x8x4x4", "3,456"] for line in lines)
    assert any(line.startswith("w1_quantized") and " 8: " in line for line in lines)
    assert "tightest int32 accumulator: " in shown.stdout
    assert lines[-1] == "note: the batch is free; shapes and cost are those of one"


def test_a_graph_whose_cost_is_not_counted(cli, tmp_path):
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2, "h", "w"]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "free.onnx")
    shown = cli("inspect", "free.onnx")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[-1] == "note: the shape of `y` is not static: its cost is not counted"
    found = json.loads(cli("inspect", "free.onnx", "--json").stdout)
    assert "macs" not in found
    assert len(found["notes"]) == 1


def test_an_inputs_encoding_in_the_records_own_numbers():
    grey = ImageInput(name="x", shape=(1, 1, 4, 4), color="L", mean=(0.5,), std=(2.0,))
    assert encoding(grey) == "NCHW L, (pixel / 255 - (0.5,)) / (2.0,)"
    assert encoding(grey.model_copy(update={"scale": 0.125})) == "NCHW L, (pixel * 0.125 - (0.5,)) / (2.0,)"
    assert encoding(TensorInput(name="t", shape=(1, 2), ends=(-1, 2))) == "numbers from -1 to 2"


def test_json(cli, foreign):
    found = json.loads(cli("inspect", foreign / "q.onnx", "--json").stdout)
    assert found["macs"] == 8 * 4 * 4 * 27 + 8 * 5 == sum(t["macs"] for t in found["totals"])
    roles = [q["role"] for q in found["quantizers"]]
    assert (roles.count("weight"), roles.count("bias")) == (2, 2)
    assert "quantizers" in json.loads(cli("inspect", foreign / "f.onnx", "--json").stdout)


def test_its_integers_are_interpreted(foreign):
    """Real scales: a code may flip here and there, the answer hardly moves."""
    graph, x = Graph(read_model(foreign / "q.onnx")), {"x": RNG.normal(0, 1, (4, 3, 8, 8)).astype(np.float32)}
    names = [node.output[0] for node in graph.codes()]
    mine, want = golden.run(graph, x), reference(graph, x, names)
    for name in names:
        apart = np.abs(mine[name].astype(int) - want[name])
        assert apart.max() <= 1
        assert np.mean(apart > 0) < 0.02
