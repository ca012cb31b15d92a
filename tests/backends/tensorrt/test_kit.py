"""The kit as a person on a Jetson would use it, with a trtexec that replays recordings: its figures are simulated."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from edgekd.backends.base import Job
from edgekd.backends.registry import backend
from edgekd.backends.tensorrt import rules
from edgekd.devices.local import open_session
from edgekd.errors import ProblemsError
from edgekd.graph import golden
from edgekd.graph.model import Graph, read_model
from edgekd.graph.rewrite import float_biases
from edgekd.runners import ort
from edgekd.schema.targets import find_target
from onnx import helper

from tests.graph.graphs import build, conv_graph
from tests.runners.boards import RECORDED, recorded_trtexec

KIT = Path(rules.__file__).parents[1] / "kit"
NAMES = ("int8", "int8-fp16", "float", "float-fp16")

RNG = np.random.default_rng(0)


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


def script(folder: Path, name: str, trtexec: Path) -> "subprocess.CompletedProcess[str]":
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"TRTEXEC": str(trtexec), "PATH": path}
    return subprocess.run(["sh", name], cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("version", ["10", "11"])
def test_the_kit_calls_trtexec_as_its_version_wants(kit, tmp_path_factory, version):
    folder, expected = kit
    board = tmp_path_factory.mktemp("board")
    trtexec = recorded_trtexec(board, version, restored=expected)
    for name in ("build.sh", "measure.sh"):
        done = script(folder, name, trtexec)
        assert done.returncode == 0, done.stderr + done.stdout
    calls = (board / "calls.txt").read_text().splitlines()
    built = [call for call in calls if "--saveEngine" in call]
    assert [call.split()[0] for call in built] == [f"--onnx={name}.onnx" for name in NAMES]
    assert all(("--stronglyTyped" in call) == (version == "10") for call in built)
    checked = [call for call in calls if "--exportOutput" in call]
    assert [call.split("--loadEngine=")[1].split()[0] for call in checked] == ["int8.plan", "int8-fp16.plan"]
    assert all("--loadInputs=image:inputs-0-0.bin" in call for call in checked)
    assert all((folder / f"{name}-times.json").exists() for name in NAMES)
    assert np.fromfile(folder / "inputs-0-0.bin", "<f4").size == 4 * 64

    recorded_trtexec(board, version, restored=expected + 100 * (expected == expected.max()))
    assert script(folder, "measure.sh", trtexec).returncode == 1


def test_both_nets_come_in_float16_too(kit):
    """Inputs and outputs stay float32; between them nothing is, and no cast stands between a pair and its reader."""
    folder, expected = kit
    image = np.fromfile(folder / "inputs-0-0.bin", "<f4").reshape(1, 4, 8, 8)
    for name, casts in (("int8-fp16", 2), ("float-fp16", 2)):
        graph = Graph(read_model(folder / f"{name}.onnx"))
        onnx.checker.check_model(graph.model, full_check=True)
        assert sum(node.op_type == "Cast" for node in graph.nodes) == casts
        assert {v.type.tensor_type.elem_type for v in (*graph.model.graph.input, *graph.model.graph.output)} == {1}
        assert 1 not in {graph.types[out] for node in graph.nodes[:-1] for out in node.output}
        assert rules.check(graph) == []
        got = ort.Session(folder / f"{name}.onnx", optimise=False).run({"image": image})["restored"]
        assert np.abs(got - expected).max() <= 0.05 + 8 * 2.0**-11  # one code, in float16


def test_a_scale_too_small_for_float16_leaves_that_graph_out(tmp_path):
    graph = conv_graph(RNG, w_scale=np.full(4, 1e-9, np.float32))
    job = Job(graph, Graph(float_biases(graph)), [{"image": np.zeros((1, 4, 8, 8), np.float32)}], [{}])
    artifact = backend("tensorrt").compile(job, backend("tensorrt").Options(), tmp_path)
    assert "int8-fp16" not in artifact.beside
    assert "scale `ws` is below" in artifact.facts["int8-fp16"]


def test_where_trtexec_is_it_builds_and_reads_the_share_of_int8(kit, tmp_path, tmp_path_factory, monkeypatch):
    """With recorded outputs, so the tool says so."""
    _, expected = kit
    board = tmp_path_factory.mktemp("board")
    monkeypatch.setenv("XDG_CACHE_HOME", str(board))
    monkeypatch.setenv("TRTEXEC", str(recorded_trtexec(board, "10", restored=expected)))
    graph = conv_graph(np.random.default_rng(0))
    out = tmp_path / "built"
    out.mkdir()
    artifact = backend("tensorrt").compile(Job(graph, graph, [{}], [{}]), backend("tensorrt").Options(level=4), out)
    assert artifact.kind == "artifact"
    assert "recorded" in artifact.tool
    assert artifact.facts["int8_share"] == 0.5
    session = open_session(artifact.runner, out / artifact.model, artifact.options)
    assert len((board / "calls.txt").read_text().splitlines()) == 1  # the plan is found again
    np.testing.assert_array_equal(session.run({"image": np.zeros((1, 4, 8, 8), np.float32)})["restored"], expected)
    (board / "fails.txt").write_text((RECORDED / "no-kernel.txt").read_text())
    with pytest.raises(ProblemsError, match="no kernel for"):
        backend("tensorrt").compile(Job(graph, graph, [{}], [{}]), backend("tensorrt").Options(level=5), out)


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


@pytest.mark.parametrize(("given", "code"), [(3.0, 0), (3.1, 0), (2.0, 1)])
def test_a_single_value_is_compared_with_itself(tmp_path, given, code):
    """It has no deviation to be measured by."""
    np.array([3.0], "<f4").tofile(tmp_path / "expected-0-0.bin")
    (tmp_path / "probes.json").write_text('[{"inputs": {}, "expected": {"y": "expected-0-0.bin"}}]')
    (tmp_path / "output.json").write_text(f'[{{"name": "y", "dimensions": "1x1", "values": [{given}]}}]')
    shutil.copy(KIT / "check.py", tmp_path)
    done = subprocess.run([sys.executable, tmp_path / "check.py", tmp_path / "output.json"], check=False)
    assert done.returncode == code


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
