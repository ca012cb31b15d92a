"""The path from an ONNX file to times and layers with a trtexec that replays recordings: every figure is simulated."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from edgekd.graph.model import Graph
from edgekd.runners import trt

from tests.graph.graphs import conv_graph
from tests.runners.boards import RECORDED, recorded_trtexec

IMAGE = np.random.default_rng(1).normal(0, 1, (1, 4, 8, 8)).astype(np.float32)


@pytest.fixture(params=["10", "11"])
def board(request, tmp_path, monkeypatch):
    """A folder with a model and a recorded trtexec of each version."""
    codes = np.arange(-128, 128).reshape(1, 4, 8, 8)
    answers = {"restored": codes * np.float32(0.05), "y.q": codes}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("TRTEXEC", str(recorded_trtexec(tmp_path, request.param, **answers)))
    onnx.save(conv_graph(np.random.default_rng(0), int_bias=False).model, tmp_path / "m.onnx")
    return tmp_path, request.param


def calls(folder: Path) -> list[str]:
    return (folder / "calls.txt").read_text().splitlines()


def test_the_tool_says_that_it_is_recorded(board):
    assert board[1] + "." in trt.TOOL
    assert trt.TOOL in ("TensorRT 10.3.0, trtexec, recorded outputs", "TensorRT 11.4.1, trtexec, recorded outputs")


def test_a_plan_is_built_once_for_the_same_bytes(board):
    folder, major = board
    first = trt.Session(folder / "m.onnx").plan
    assert trt.Session(folder / "m.onnx").plan == first
    assert len(calls(folder)) == 1
    assert ("--stronglyTyped" in calls(folder)[0]) == (major == "10")
    trt.Session(folder / "m.onnx", level=5)
    (folder / "m.onnx").write_bytes((folder / "m.onnx").read_bytes() + trt.with_outputs(folder / "m.onnx", ()))
    trt.Session(folder / "m.onnx")
    assert len(calls(folder)) == 3


def test_inputs_go_out_and_answers_come_back(board):
    folder, _ = board
    session = trt.Session(folder / "m.onnx", expose=["y.q"])
    fed = session.feed({"image": IMAGE})
    np.testing.assert_array_equal(np.fromfile(fed["image"], "<f4").reshape(IMAGE.shape), IMAGE)
    out = session.read(session.call(fed))
    assert f"--loadInputs=image:{fed['image']}" in calls(folder)[-1]
    assert out["y.q"].dtype == np.int8
    np.testing.assert_array_equal(out["restored"], out["y.q"] * np.float32(0.05))


def test_answers_that_are_no_numbers_are_read_too(board):
    folder, _ = board
    text = '[{ "name" : "restored", "dimensions" : "1x4", "values" : [ 1.5, nan, -nan, -inf ] }]'
    (folder / "answer.json").write_text(text)
    out = trt.Session(folder / "m.onnx").run({"image": IMAGE})["restored"]
    np.testing.assert_array_equal(out, np.array([[1.5, np.nan, np.nan, -np.inf]], np.float32))


def test_exposed_codes_become_int8_outputs(board):
    folder, _ = board
    (folder / "more.onnx").write_bytes(trt.with_outputs(folder / "m.onnx", ["y.q", "restored"]))
    more = onnx.shape_inference.infer_shapes(onnx.load(folder / "more.onnx"), check_type=True, strict_mode=True)
    assert [(o.name, o.type.tensor_type.elem_type) for o in more.graph.output] == [("restored", 1), ("y.q", 3)]


def test_operators_are_read_as_onnx_reads_them(tmp_path):
    model = conv_graph(np.random.default_rng(0)).model
    model.graph.node[3].name = "first"
    onnx.save(model, tmp_path / "m.onnx")
    want = [(n.name or f"node_of_{n.output[0]}", n.op_type, n.output[0]) for n in Graph(model).nodes]
    assert trt.operators(tmp_path / "m.onnx") == want


def test_times_without_the_warm_up(board):
    """Recorded: 40 inferences, 90 ms apart, the first 12 within the second of warm-up and slow."""
    folder, major = board
    got = trt.time_model(str(folder / "m.onnx"), {"level": 3}, {"image": IMAGE}, warmup=2, runs=5, seconds=1)
    entries = json.loads((RECORDED / "times.json").read_text())[14:]
    assert got["seconds"] == pytest.approx([e["endD2hMs"] / 1e3 - e["startH2dMs"] / 1e3 for e in entries])
    assert got["compute_seconds"] == pytest.approx(
        [e["endComputeMs"] / 1e3 - e["startComputeMs"] / 1e3 for e in entries]
    )
    assert ("--exposeDMA" in calls(folder)[-1]) == (major == "10")
    assert any("unstable" in text for text in got["warnings"])
    assert got["busy"][1] - got["busy"][0] == pytest.approx((entries[-1]["endD2hMs"] - entries[0]["startH2dMs"]) / 1e3)
    assert got["gpu_bytes"] == 22 * 2**20
    assert got["int8_share"] == 0.5
    assert got["float_layers"] == ["head"]
    assert got["reformats"] == 1


def test_layers_are_traced_back_to_the_graph(board):
    folder, major = board
    found = trt.Session(folder / "m.onnx").layers({"image": IMAGE}, runs=50)
    assert [layer["precision"] for layer in found] == ["int8", "int8", "float16", "float32"]
    assert [layer["nodes"] for layer in found] == [["x.q"], ["c", "r", "y.q"], [], ["y", "restored"]]
    assert found[1]["type"] == "CaskConvolution"
    assert found[1]["ms"] == pytest.approx(0.2 if major == "11" else 0.22)  # 10 tells the mean


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("no-kernel", "no kernel for `gate.weight + node_of_gate + PWN(node_of_sigmoid)`"),
        ("no-memory", "out of memory; lower `workspace_mib`"),
        ("refused", "trtexec failed: "),
    ],
)
def test_failures_are_told_in_a_sentence(board, log, said):
    folder, _ = board
    (folder / "fails.txt").write_text((RECORDED / f"{log}.txt").read_text())
    with pytest.raises(trt.TensorRtError, match=re.escape(said)):
        trt.Session(folder / "m.onnx")
    assert not list(folder.glob("*.plan"))


def test_no_trtexec_and_an_old_one(tmp_path, monkeypatch):
    monkeypatch.setenv("TRTEXEC", str(tmp_path / "absent"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(trt, "PLACE", str(tmp_path / "absent"))
    assert trt.TOOL == "TensorRT, no trtexec here"
    with pytest.raises(trt.TensorRtError, match="is not here"):
        trt.call([])
    (tmp_path / "trtexec").write_text("#!/bin/sh\necho '&&&& RUNNING TensorRT.trtexec [TensorRT v8502] # trtexec'\n")
    (tmp_path / "trtexec").chmod(0o755)
    with pytest.raises(trt.TensorRtError, match=r"8\.5\.2 is too old"):
        trt.call([])


def test_the_file_runs_alone(tmp_path):
    """As it is copied to a board: no edgekd beside it."""
    shutil.copy(trt.__file__, tmp_path / "trt.py")
    code = "import trt, sys; print(trt.TOOL); assert not any(name.startswith('edgekd') for name in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("TensorRT")
