"""A whole bundle: verified, damaged, verified again."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from edgekd.devices.local import Local
from edgekd.errors import RequestError
from edgekd.evidence import Bundle
from edgekd.graph.model import Graph, read_model, with_constants
from edgekd.pipeline import Result
from edgekd.verify.check import read_probes, verify


@pytest.fixture
def copy(stood_in: Result, tmp_path: Path) -> Bundle:
    """A copy of that run, to be damaged."""
    return Bundle(shutil.copytree(stood_in.folder, tmp_path / "copy"))


def doubled(bundle: Bundle, layer: str, tensor: str) -> tuple[str, np.ndarray, np.ndarray]:
    """A layer's weight scales, before and after doubling that of its most active channel."""
    _, codes = read_probes(bundle.path / "probes.npz")
    channel = int(np.argmax(codes[0][tensor].astype(int).mean((0, 2, 3))))
    name = f"{layer}.weight_scale"
    scale = Graph(read_model(bundle.path / "graph.onnx")).constants[name]
    changed = scale.copy()
    changed[channel] *= 2
    return name, scale, changed


def damage(bundle: Bundle, file: str, layer: str, tensor: str) -> None:
    """Double one channel's weight scale in an ONNX file of the bundle."""
    name, _, changed = doubled(bundle, layer, tensor)
    onnx.save(with_constants(read_model(bundle.path / file), {name: changed}), bundle.path / file)


def test_the_run_holds_its_gates(jetson):
    assert jetson.verification.failures == []
    assert [hop.name for hop in jetson.verification.hops] == [
        "training → integer reference", "integer reference → onnxruntime", "integer reference → openvino",
    ]  # fmt: skip
    assert all(hop.equal > 0.98 for hop in jetson.verification.hops)
    assert [problem.where for problem in jetson.verification.skipped] == ["tensorrt"]


def test_the_arms_are_all_scored_and_the_net_has_learned(jetson):
    scores = jetson.verification.scores
    controls = [name for name in jetson.bundle.manifest.arms if name.startswith("ptq-")]  # where installed
    arms = ["fp32", "fp32-tuned", "ptq", *controls, "qat-dfd"]
    assert list(scores) == ["noisy input", *arms, "onnxruntime", "openvino"]
    for name, s in scores.items():
        assert len(s.ids) == len(s.values["psnr"]) == 4
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


def told(bundle: Bundle) -> dict[str, str]:
    return {p.where: p.message for p in verify(bundle).failures}


def test_one_changed_weight_scale_is_found_and_named_in_each_engine(copy):
    """A channel's scale doubled in ONNX Runtime's graph, another layer's in the bytes of OpenVINO's weights."""
    damage(copy, "artifacts/onnxruntime/model.onnx", "blocks.0.depth.0", "blocks.0.act/relu.q")
    _, scale, changed = doubled(copy, "blocks.2.depth.0", "blocks.2.act/relu.q")
    path = copy.path / "artifacts/openvino/model.bin"
    data = path.read_bytes()
    assert data.count(scale.tobytes()) == 1
    path.write_bytes(data.replace(scale.tobytes(), changed.tobytes()))
    failures = told(copy)
    assert "unchanged" in failures["artifacts/onnxruntime/model.onnx"]
    assert "unchanged" in failures["artifacts/openvino/model.bin"]
    assert "first beyond is `blocks.0.act/relu.q`" in failures["integer reference → onnxruntime"]
    assert "first beyond is `blocks.2.act/relu.q`" in failures["integer reference → openvino"]
    assert "training → integer reference" not in failures


def permuted(model: onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    """Two output channels' weights change places."""
    graph = Graph(model)
    name = next(n for n, a in graph.constants.items() if n.startswith("blocks.0.depth.0") and a.ndim == 4)
    return with_constants(
        model, {name: graph.constants[name][[1, 0, *range(2, len(graph.constants[name]))]]}
    ), "blocks.0.act/relu.q"


def without_pair(model: onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    """The pair behind a layer is gone: its readers get what was not rounded."""
    graph, tensor = Graph(model), "blocks.2.act/relu.q"
    out = onnx.ModelProto()
    out.CopyFrom(model)
    dequantize = graph.readers[tensor][0].output[0]
    kept = [n for n in out.graph.node if n.output[0] not in (tensor, dequantize)]
    for node in kept:
        node.input[:] = [graph.maker[tensor].input[0] if name == dequantize else name for name in node.input]
    del out.graph.node[:]
    out.graph.node.extend(kept)
    return out, tensor


@pytest.mark.parametrize("change", [permuted, without_pair])
def test_damage_in_an_engines_graph_is_named(copy, change):
    path = copy.path / "artifacts/onnxruntime/model.onnx"
    model, tensor = change(onnx.load(path))
    onnx.save(model, path)
    assert f"first beyond is `{tensor}`" in told(copy)["integer reference → onnxruntime"]


def test_a_changed_io_record_fails_the_run_though_every_code_is_right(copy, cli):
    """Pictures of another mean are another record."""
    path = copy.path / "artifacts/openvino/io.json"
    record = json.loads(path.read_text())
    record["inputs"][0]["mean"] = [0.4]
    path.write_text(json.dumps(record))
    done = cli("verify", copy.run)
    assert done.returncode == 1
    assert "openvino: io record as trained: `inputs.image.mean.0` is 0.4, trained with 0.5" in done.stderr


def test_a_changed_portable_graph_and_an_artifact_that_does_not_load(copy):
    damage(copy, "graph.onnx", "blocks.0.depth.0", "blocks.0.act/relu.q")
    (copy.path / "artifacts/onnxruntime/model.onnx").write_bytes(b"no")
    (copy.path / "artifacts/openvino/model.bin").write_bytes(b"")
    failures = told(copy)
    assert "first beyond is `blocks.0.act/relu.q`" in failures["training → integer reference"]
    assert "runs here" in failures["onnxruntime"]
    assert "changed or gone" in failures["artifacts/openvino/model.bin"]


def test_verify_ends_with_exit_code_1_and_the_tensors_name(copy, cli):
    damage(copy, "artifacts/onnxruntime/model.onnx", "blocks.2.point.0", "blocks.2.act/relu_1.q")
    bad = cli("verify", copy.run, "--json")
    assert bad.returncode == 1
    assert "`blocks.2.act/relu_1.q`" in bad.stderr
    assert any("blocks.2.act/relu_1.q" in line for line in json.loads(bad.stdout)["failures"])


def test_missing_files_are_all_named(copy, cli):
    (copy.path / "probes.npz").unlink()
    (copy.path / "arms/fp32.onnx").unlink()
    done = cli("verify", copy.run)
    assert done.returncode == 1
    assert "probes.npz: unchanged: changed or gone" in done.stderr
    assert "arms/fp32.onnx: unchanged" in done.stderr


def test_damaged_probes_are_told(tmp_path):
    path = tmp_path / "probes.npz"
    np.savez_compressed(path, **{"0/input/x": np.zeros(500), "0/codes/y": np.zeros(500, np.int8)})
    whole = path.read_bytes()
    for data in (b"", whole[:100], whole[:80] + b"damage" + whole[86:]):
        path.write_bytes(data)
        with pytest.raises(RequestError, match="is damaged"):
            read_probes(path)


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


def test_the_targets_engine_is_verified_on_a_device_like_here(classified, tmp_path):
    """This host as a device, through the agent: the same tensors, the same answers."""
    bundle = Bundle(shutil.copytree(classified.folder, tmp_path / "copy"))
    found = verify(bundle, device=Local())
    assert found.failures == []
    there = next(hop for hop in found.hops if hop.name.endswith("openvino on local"))
    here = next(hop for hop in classified.verification.hops if hop.name.endswith("openvino"))
    assert [t.tensor for t in there.tensors] == [t.tensor for t in here.tensors]
    assert there.equal == here.equal
    assert found.scores["openvino on local"].values == classified.verification.scores["openvino"].values
    figure = next(f for f in found.figures if f.subject == "openvino on local")
    assert figure.device == "local"
    assert figure.tool.startswith("OpenVINO")


def test_damage_is_named_on_a_device_too(classified, tmp_path):
    bundle = Bundle(shutil.copytree(classified.folder, tmp_path / "copy"))
    _, scale, changed = doubled(bundle, "blocks.2.depth.0", "blocks.2.act/relu.q")
    path = bundle.path / "artifacts/openvino/model.bin"
    path.write_bytes(path.read_bytes().replace(scale.tobytes(), changed.tobytes()))
    failures = {p.where: p.message for p in verify(bundle, device=Local()).failures}
    assert "first beyond is `blocks.2.act/relu.q`" in failures["integer reference → openvino on local"]
