"""TensorRT's rules on graphs that break them one at a time, and the kit as a person on a Jetson would use it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from edgekd.backends.base import Job
from edgekd.backends.registry import backend
from edgekd.backends.tensorrt import rules
from edgekd.errors import ProblemsError
from edgekd.graph import golden
from edgekd.graph.model import Graph
from edgekd.graph.rewrite import float_biases
from edgekd.schema.targets import find_target
from onnx import helper

from tests.graph.graphs import build, conv_graph, pair

RNG = np.random.default_rng(0)
GOOD = conv_graph(RNG, int_bias=False)
SCALES = {"s": np.float32(0.1), "z": np.int8(0), "s2": np.float32(0.2)}


def told(graph: Graph) -> str:
    return " | ".join(str(problem) for problem in rules.check(graph))


def residual(skip_pair: bool, conv_pair: bool) -> Graph:
    weight = {
        "w": RNG.integers(-9, 9, (3, 3, 1, 1)).astype(np.int8),
        "ws": np.ones(3, np.float32),
        "wz": np.zeros(3, np.int8),
    }
    nodes = [*pair("x", "image"), helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wf"], axis=0),
             helper.make_node("Conv", ["x", "wf"], ["c"])]  # fmt: skip
    nodes += pair("cq", "c") if conv_pair else []
    nodes.append(helper.make_node("Add", ["cq" if conv_pair else "c", "x" if skip_pair else "image"], ["restored"]))
    return build(nodes, SCALES | weight, (1, 3, 4, 4), (1, 3, 4, 4))


def test_a_good_graph_passes():
    assert rules.check(GOOD) == []
    assert rules.check(residual(skip_pair=True, conv_pair=False)) == []


@pytest.mark.parametrize(
    ("graph", "what"),
    [
        (conv_graph(RNG, int_bias=False, dtype=np.uint8), "uint8 is read as int8"),
        (conv_graph(RNG, int_bias=False, zero=3), "zero points other than 0"),
        (conv_graph(RNG), "int32 bias"),
        (conv_graph(RNG, int_bias=False, x_scale=float("inf")), "not a positive finite number"),
        (conv_graph(RNG, int_bias=False, y_scale=-1.0), "not a positive finite number"),
        (residual(skip_pair=True, conv_pair=True), "between `Conv` and `Add`"),
        (residual(skip_pair=False, conv_pair=False), "skip input of this `Add`"),
    ],
)
def test_each_broken_rule_is_named(graph, what):
    assert what in told(graph)


def test_a_pair_between_conv_and_relu():
    weight = {"w": np.ones((3, 3, 1, 1), np.int8), "ws": np.ones(3, np.float32), "wz": np.zeros(3, np.int8)}
    nodes = [*pair("x", "image"), helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wf"], axis=0),
             helper.make_node("Conv", ["x", "wf"], ["c"]), *pair("q", "c"),
             helper.make_node("Relu", ["q"], ["restored"])]  # fmt: skip
    graph = build(nodes, SCALES | weight, (1, 3, 4, 4), (1, 3, 4, 4))
    assert "between `Conv` and `Relu`" in told(graph)


def test_scales_around_a_move_and_weights_along_the_wrong_axis():
    nodes = [*pair("x", "image"), helper.make_node("MaxPool", ["x"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
             *pair("restored", "m", "s2")]  # fmt: skip
    assert "scales around `MaxPool` differ" in told(build(nodes, SCALES, (1, 3, 4, 4), (1, 3, 2, 2)))
    weight = {"w": np.ones((3, 3, 1, 1), np.int8), "ws": np.ones(3, np.float32), "wz": np.zeros(3, np.int8)}
    nodes = [*pair("x", "image"), helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wf"], axis=1),
             helper.make_node("Conv", ["x", "wf"], ["restored"])]  # fmt: skip
    assert "run along axis 1" in told(build(nodes, SCALES | weight, (1, 3, 4, 4), (1, 3, 4, 4)))


@pytest.fixture
def kit(tmp_path):
    graph = conv_graph(RNG)
    image = RNG.normal(0, 1, (1, 4, 8, 8)).astype(np.float32)
    expected = {"restored": golden.run(graph, {"image": image})["restored"]}
    engine = backend("tensorrt")
    job = Job(graph, Graph(float_biases(graph)), [{"image": image}], [expected])
    artifact = engine.compile(job, engine.Options(), tmp_path)
    assert artifact.kind == "kit"
    return tmp_path, expected["restored"]


# Stands for a Jetson's trtexec: notes how it was called, writes the files it is asked for.
TRTEXEC = """#!/bin/sh
echo "$@" >> calls.txt
case "$1" in --help) echo "{flags}"; exit 0;; esac
for a in "$@"; do case "$a" in
  --saveEngine=*) : > "${{a#*=}}";;
  --exportOutput=*) cp answer.json "${{a#*=}}";;
esac; done
"""


@pytest.mark.parametrize(("flags", "typed"), [("--stronglyTyped --fp16", True), ("--saveEngine", False)])
def test_the_kit_calls_trtexec_as_its_version_wants(kit, flags, typed):
    folder, expected = kit
    trtexec = folder.parent / f"trtexec-{typed}"
    trtexec.write_text(TRTEXEC.format(flags=flags))
    trtexec.chmod(0o755)
    values = {"name": "restored", "dimensions": "1x4x8x8", "values": expected.ravel().tolist()}
    (folder / "answer.json").write_text(json.dumps([values]))
    environment = os.environ | {
        "TRTEXEC": str(trtexec),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    for script in ("build.sh", "measure.sh"):
        done = subprocess.run(["sh", script], cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    calls = (folder / "calls.txt").read_text()
    assert ("--stronglyTyped" in calls.replace("--help", "")) == typed
    assert "--loadInputs=image:inputs-0-image.bin" in calls
    assert "float.plan" in calls
    raw = np.fromfile(folder / "inputs-0-image.bin", "<f4")
    assert raw.size == 4 * 64

    values["values"][0] += 100.0
    (folder / "answer.json").write_text(json.dumps([values]))
    done = subprocess.run(
        ["sh", "measure.sh"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1


def test_the_kit_notices_a_damaged_file(kit):
    folder, _ = kit
    with (folder / "int8.onnx").open("ab") as file:
        file.write(b"x")
    done = subprocess.run(
        ["sh", "build.sh"],
        cwd=folder,
        env=os.environ | {"TRTEXEC": shutil.which("true")},
        capture_output=True,
        check=False,
    )
    assert done.returncode != 0


def test_the_kit_explains_itself(kit):
    folder, _ = kit
    text = (folder / "README.md").read_text()
    assert "--stronglyTyped" in text
    assert "TensorRT 11" in text
    assert "@" not in text


def test_compile_refuses_what_check_refuses(tmp_path):
    graph = conv_graph(RNG, dtype=np.uint8)
    engine = backend("tensorrt")
    assert engine.check(graph, find_target("jetson").engine)
    with pytest.raises(ProblemsError, match="uint8"):
        engine.compile(Job(graph, graph, [], []), engine.Options(), tmp_path)


def test_operators_and_opset_are_held_against_the_descriptor():
    graph = build([helper.make_node("Elu", ["image"], ["restored"])], {}, (1, 3, 2, 2), (1, 3, 2, 2), opset=22)
    problems = backend("tensorrt").check(graph, find_target("jetson").engine)
    assert "Elu" in problems[0].message
    assert [p.where for p in problems] == ["restored", "opset"]
