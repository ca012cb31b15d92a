"""Model files made elsewhere, through every verb that takes one."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.backends.litert.test_read import classifier
from tests.verify.foreign_models import float_net, quantized


@pytest.fixture(params=["onnx", "tflite"])
def model(request, tmp_path):
    """A file, its input's (height, width), its output, and an engine."""
    if request.param == "onnx":
        return quantized(tmp_path), (16, 16), "logits", "onnxruntime"
    return classifier(tmp_path / "foreign.tflite"), (8, 8), "scores", "litert"


def test_inspect_verify_run_and_bench(model, cli, tmp_path):
    path, size, output, engine = model
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)).save(tmp_path / "a.png")
    shown = json.loads(cli("inspect", path, "--json").stdout)
    assert {"Conv", "Gemm"} <= {layer["operator"] for layer in shown["layers"]}
    checked = json.loads(cli("verify", path, "--json").stdout)
    assert checked["failures"] == []
    assert all(hop["equal"] > 0.95 for hop in checked["hops"].values())
    answers = []
    for kind in (engine, "reference"):
        done = cli("run", path, "a.png", "--engine", kind, "--out", f"{kind}.npz")
        assert done.returncode == 0, done.stderr
        with np.load(tmp_path / f"{kind}.npz") as file:
            answers.append(next(iter(file.values())))
    assert answers[0].size == 5
    assert np.abs(answers[0] - answers[1]).max() < 0.1 * np.abs(answers[1]).max() + 0.06
    timed = json.loads(cli("bench", path, "--runs", "10", "--no-power", "--json").stdout)
    found = {(f["name"], f["subject"]) for f in timed["figures"]}
    assert {("latency", engine), ("latency", f"float, {engine}"), ("speed-up", engine)} <= {
        (name.partition(" over")[0], subject) for name, subject in found
    }
    assert all(f["details"]["short"] for f in timed["figures"] if f["name"] == "latency")
    assert output in cli("inspect", path).stdout


def test_an_unknown_engine_and_a_file_without_pairs(cli, tmp_path):
    path = quantized(tmp_path)
    done = cli("bench", path, "--engine", "openvin")
    assert done.returncode == 2
    assert "did you mean `openvino`?" in done.stderr
    done = cli("bench", path, "--samples", "3")
    assert done.returncode == 2
    assert "a model file has no evaluation set" in done.stderr
    timed = json.loads(cli("bench", float_net(tmp_path / "f.onnx"), "--runs", "10", "--no-power", "--json").stdout)
    assert not [f for f in timed["figures"] if f["subject"].startswith("float, ")]
