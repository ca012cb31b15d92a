"""A whole bundle: verified, damaged, verified again."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from edgekd.evidence import Bundle
from edgekd.graph.model import Graph, read_model, with_constants
from edgekd.pipeline import Result
from edgekd.verify.check import read_probes, verify


@pytest.fixture
def copy(jetson: Result, tmp_path: Path) -> Bundle:
    """A copy of the run, to be damaged."""
    return Bundle(shutil.copytree(jetson.folder, tmp_path / "copy"))


def damage(path: Path, constant: str) -> None:
    """Double one channel's weight scale."""
    graph = Graph(read_model(path))
    scale = graph.constants[constant].copy()
    scale[0] *= 2
    onnx.save(with_constants(graph.model, {constant: scale}), path)


def test_the_run_holds_its_gates(jetson):
    assert jetson.verification.failures == []
    assert [hop.name for hop in jetson.verification.hops] == [
        "training → integer reference", "integer reference → onnxruntime", "integer reference → openvino",
    ]  # fmt: skip
    assert all(hop.equal > 0.98 for hop in jetson.verification.hops)
    assert [problem.where for problem in jetson.verification.skipped] == ["tensorrt"]


def test_the_arms_are_all_scored_and_the_net_has_learned(jetson):
    scores = jetson.verification.scores
    assert list(scores) == ["noisy input", "fp32", "fp32-tuned", "ptq", "qat-dfd", "onnxruntime", "openvino"]
    for name, s in scores.items():
        assert len(s.ids) == len(s.values["psnr"]) == 48
        low, high = s.interval("psnr")
        assert low <= s.mean("psnr") <= high
        if name != "noisy input":
            assert s.mean("psnr") > scores["noisy input"].mean("psnr") + 2


def test_every_figure_has_its_witness(jetson):
    for figure in jetson.bundle.ledger.read():
        assert figure.tool
        assert figure.host
        assert figure.when.endswith("Z")
        assert figure.method
    kinds = {(f.name, f.kind) for f in jetson.figures}
    assert ("psnr", "measured") in kinds
    assert ("macs", "estimated") in kinds
    assert not [name for name, _ in kinds if name == "latency"]  # stand-ins have no speed


@pytest.mark.parametrize(
    ("file", "hop"),
    [
        ("graph.onnx", "training → integer reference"),
        ("artifacts/onnxruntime/model.onnx", "integer reference → onnxruntime"),
    ],
)
def test_one_changed_weight_scale_is_found_and_named(copy, file, hop):
    damage(copy.path / file, "enc.1.0.conv1.weight_scale")
    told = [(p.where, p.message) for p in verify(copy).failures]
    assert any(where == file and "unchanged" in message for where, message in told)
    parity = {where: message for where, message in told if where in (hop,)}
    assert "first beyond is `enc.1.0/relu.q`" in parity[hop]


def test_a_damaged_ir_is_found_and_named(copy):
    """The same in OpenVINO's own files: one byte pattern, the scales of one layer, in the binary."""
    graph = Graph(read_model(copy.path / "graph.onnx"))
    scale = graph.constants["enc.1.0.conv1.weight_scale"].astype(np.float32)
    path = copy.path / "artifacts/openvino/model.bin"
    data, wanted = path.read_bytes(), scale.tobytes()
    assert data.count(wanted) == 1
    changed = scale.copy()
    changed[0] *= 2
    path.write_bytes(data.replace(wanted, changed.tobytes()))
    told = {p.where: p.message for p in verify(copy).failures}
    assert "first beyond is `enc.1.0/relu.q`" in told["integer reference → openvino"]


def test_an_artifact_that_does_not_load_is_told(copy):
    (copy.path / "artifacts/onnxruntime/model.onnx").write_bytes(b"no")
    told = [str(p) for p in verify(copy).failures]
    assert any("onnxruntime: runs here" in line for line in told)


def test_verify_ends_with_exit_code_1_and_the_tensors_name(copy, cli):
    good = cli("verify", copy.run)
    assert good.returncode == 0, good.stderr
    damage(copy.path / "artifacts/onnxruntime/model.onnx", "mid.0.conv2.weight_scale")
    bad = cli("verify", copy.run, "--json")
    assert bad.returncode == 1
    assert "`mid.0/relu_1.q`" in bad.stderr
    assert any("mid.0/relu_1.q" in line for line in json.loads(bad.stdout)["failures"])


def test_probes_hold_what_training_saw(jetson):
    inputs, codes = read_probes(jetson.bundle.path / "probes.npz")
    graph = Graph(read_model(jetson.bundle.path / "graph.onnx"))
    assert len(inputs) == len(codes) == 1
    assert {node.output[0] for node in graph.codes()} <= set(codes[0])


def test_the_manifest_lists_every_file(jetson):
    bundle = jetson.bundle
    files = {str(p.relative_to(bundle.path)) for p in bundle.path.rglob("*") if p.is_file()}
    assert files - {"manifest.json"} == set(bundle.manifest.files)
    assert bundle.changed() == []
    assert bundle.manifest.versions["torch"] != "absent"
    assert bundle.manifest.recipe.train.steps == 80
