"""Layers as ONNX Runtime and OpenVINO run them, mapped back to the graph's tensors."""

import json
import os
import subprocess
import sys
from importlib import import_module

import numpy as np
import onnx
import pytest
from edgekd.graph.executed import as_ran, int8_proof, owners
from edgekd.graph.model import Graph
from onnx import helper, numpy_helper

from tests.cpu import int8_in_openvino
from tests.graph.graphs import conv_graph

RNG = np.random.default_rng(11)
IMAGE = {"image": RNG.normal(0, 1, (1, 16, 8, 8)).astype(np.float32)}


@pytest.mark.parametrize("runner", ["ort", pytest.param("ov", marks=int8_in_openvino)])
@pytest.mark.parametrize("names", ["given", "none"])
def test_the_convolution_is_found_by_its_tensor(runner, names, tmp_path):
    graph = conv_graph(RNG, dtype=np.uint8, channels=16)
    for node in graph.model.graph.node:
        node.name = f"node of {node.output[0]}" if names == "given" else ""
    onnx.save(graph.model, tmp_path / "g.onnx")
    session = import_module(f"edgekd.runners.{runner}").Session(tmp_path / "g.onnx")
    before = set(tmp_path.iterdir())
    ran = as_ran(session.layers(IMAGE, runs=3))
    assert set(tmp_path.iterdir()) == before  # no profile is left
    made = owners(graph, ran)
    if runner == "ov" or names == "given":
        assert made["c"].precision == "u8"
        assert made["c"] is made["r"]
        assert int8_proof(graph, ran)["of them in int8"] == 1
    assert all(layer.ms >= 0 for layer in ran)
    assert sum(layer.ms for layer in ran) > 0


def test_float_layers_are_told_as_such(tmp_path):
    weight = numpy_helper.from_array(RNG.normal(0, 0.1, (16, 16, 3, 3)).astype(np.float32), "w")
    nodes = [helper.make_node("Conv", ["image", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
             helper.make_node("Relu", ["c"], ["restored"], name="relu")]  # fmt: skip
    value = [helper.make_tensor_value_info(n, 1, [1, 16, 8, 8]) for n in ("image", "restored")]
    graph = Graph(helper.make_model(helper.make_graph(nodes, "g", value[:1], value[1:], [weight]),
                                    opset_imports=[helper.make_opsetid("", 20)], ir_version=10))  # fmt: skip
    onnx.save(graph.model, tmp_path / "g.onnx")
    for runner in ("ort", "ov"):
        session = import_module(f"edgekd.runners.{runner}").Session(tmp_path / "g.onnx")
        proof = int8_proof(graph, as_ran(session.layers(IMAGE, runs=1)))
        assert (proof["weighted layers"], proof["of them in int8"], proof["in float"]) == (1, 0, ["c"])


SILENT = """
import json, sys
tried = []
def hear(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        tried.append([event, str(args[1:])])
    if event == "open" and "intel" in str(args[0]) and args[1] and ("w" in str(args[1]) or "a" in str(args[1])):
        tried.append([event, str(args[0])])
sys.addaudithook(hear)
from edgekd.runners import ov
import openvino, threading
openvino.Core().available_devices
[t.join(10) for t in threading.enumerate() if t is not threading.main_thread()]
print(json.dumps({"tried": tried, "telemetry": "openvino_telemetry" in sys.modules}))
"""


def test_openvino_sends_no_usage_data(tmp_path):
    """Its import would: neither a socket nor the file in which it counts is touched."""
    environment = os.environ | {"HOME": str(tmp_path)}
    environment.pop("CI", None)
    done = subprocess.run([sys.executable, "-c", SILENT], capture_output=True, text=True, check=True, env=environment)
    assert json.loads(done.stdout) == {"tried": [], "telemetry": False}
    assert list(tmp_path.iterdir()) == []
