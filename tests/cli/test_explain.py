"""`edgekd explain` of a file and of a run."""

import json

import numpy as np
import onnx
import pytest
from edgekd.cli.explain import show
from edgekd.explain.findings import UNRULED, Explanation, Finding
from edgekd.explain.run import explain_static

from tests.explain.nets import net, op

PROOF = {"weighted layers": 1, "of them in int8": 1, "share of MACs in int8": 1.0}


@pytest.fixture
def planted(tmp_path):
    graph = net([op("Clip", ("first", "low", "high"))], {"low": np.float32(0), "high": np.float32(6)})
    onnx.save(graph.model, tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def test_a_file_is_explained_in_every_engine_here(cli, planted):
    shown = cli("explain", "net.onnx", "--runs", "2")
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    told = {line.split(": ")[0]: line.split(": ")[1] for line in lines if ": " in line and not line.startswith(" ")}
    assert told["onnxruntime"].startswith("ONNX Runtime")
    assert told["openvino"].startswith("OpenVINO")
    assert told["litert"].startswith("does not take it")  # of uint8 codes
    assert "1 of 2 weighted layers in int8" in shown.stdout
    place = next(i for i, line in enumerate(lines) if "`Clip` at 6 cuts off codes that reach 12.75" in line)
    assert lines[place + 1].strip().startswith("-> `Relu`, or a scale of at most 0.0235294")


def test_json_names_the_tensor(cli, planted):
    shown = cli("explain", "net.onnx", "--engine", "onnxruntime", "--runs", "2", "--json")
    assert shown.returncode == 0, shown.stderr
    [found] = json.loads(shown.stdout)["explanations"]
    assert found["proof"]["in float"] == ["first"]
    told = next(f for f in found["findings"] if f["kind"] == "float layer")
    assert (told["tensor"], told["tensors"]) == ("m", ["first", "m"])
    assert found["ms"] > 0 < found["float_ms"]
    assert found["layers_ms"] == pytest.approx(sum(share["ms"] for share in found["shares"]))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("net.onnx", "--engine", "onnxruntim"), 2, "unknown engine `onnxruntim`"),
        (("gone.onnx",), 3, "does not exist"),
        (("gone",), 3, "holds no bundle"),
        (("float.onnx",), 2, "has no Q/DQ pairs"),
    ],
)
def test_mistakes(cli, planted, arguments, code, words):
    graph = net([op("Relu")])
    kept = [n for n in graph.model.graph.node if n.op_type == "Conv"][:0]
    del graph.model.graph.node[:]
    graph.model.graph.node.extend([*kept, onnx.helper.make_node("Concat", ["image", "image"], ["restored"], axis=1)])
    onnx.save(graph.model, planted.parent / "float.onnx")
    done = cli("explain", *arguments)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)
    assert words in done.stderr


def test_a_kit_speaks_by_its_rules(cli, stood_in):
    shown = cli("explain", stood_in.folder)
    assert shown.returncode == 0, shown.stderr
    assert "this host is not a NVIDIA Jetson Orin Nano" in shown.stdout
    assert " ms an inference" not in shown.stdout


def test_a_runs_engine_is_timed(cli, classified):
    shown = cli("explain", classified.folder, "--runs", "2")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("openvino: OpenVINO")
    assert "weighted layers in int8" in shown.stdout


def test_findings_that_are_all_small_are_counted(capsys):
    """None of them is worth a line, and that is said."""
    show(Explanation("engine", "tool", [Finding("layout", "t", "what", "", ms=0.001)], ms=10.0, proof=PROOF))
    assert "nothing found that takes much; 1 small" in capsys.readouterr().out


def test_an_engine_without_rules_is_not_called_fast(capsys):
    """Nothing was timed and no rule looked at it."""
    found = explain_static(net([op("Relu")]), "litert", (), "it is not here")
    show(found)
    assert capsys.readouterr().out == f"litert: {UNRULED}; it is not here\n"
    assert explain_static(net([op("Relu")]), "openvino", (), "it is not here").tool == "static rules"


def test_codes_of_litert_are_seen_as_codes(cli, tmp_path):
    graph = net([op("Relu")], dtype=np.int8, zero=-128)
    onnx.save(graph.model, tmp_path / "net.onnx")
    shown = cli("explain", "net.onnx", "--engine", "litert", "--runs", "2")
    assert shown.returncode == 0, shown.stderr
    assert "2 of 2 weighted layers in int8, 100.0 % of the MACs" in shown.stdout


def test_an_engine_that_fails_in_its_own_way_is_told(cli, tmp_path):
    """An operator of nobody's: each runtime raises an error of its own kind, and the next engine is asked."""
    graph = net([op("Relu")])
    graph.model.opset_import.append(onnx.helper.make_opsetid("nobody", 1))
    [relu] = [node for node in graph.model.graph.node if node.op_type == "Relu"]
    relu.op_type, relu.domain = "Fancy", "nobody"
    onnx.save(graph.model, tmp_path / "net.onnx")
    shown = cli("explain", "net.onnx", "--runs", "2")
    assert (shown.returncode, "Traceback" in shown.stderr) == (0, False)
    assert shown.stdout.count("does not take it") == 3
    alone = cli("explain", "net.onnx", "--engine", "onnxruntime")
    assert (alone.returncode, "Traceback" in alone.stderr) == (2, False)
    assert "onnxruntime does not run it: " in alone.stderr
