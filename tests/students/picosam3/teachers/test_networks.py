from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from edgekd.backends.litert.write import write
from edgekd.errors import MissingError, ProblemsError, RequestError
from edgekd.graph.model import IO_KEY, Graph
from edgekd.graph.roi import crop, region
from edgekd.quantize.capture import capture
from edgekd.quantize.export import export_quantized
from edgekd.quantize.insert import calibrate, insert
from edgekd.schema.io import ClassesOutput, ImageInput, IoRecord, MaskOutput, Region
from edgekd.schema.targets import find_target
from edgekd.students.picosam3.network import ModelConfig, PicoSam3Net
from edgekd.students.picosam3.teachers.networks import open_model, open_student
from edgekd.students.picosam3.upstream import load_upstream
from safetensors.torch import save_file

from tests.students.picosam3.test_network import Theirs

SMALL = ModelConfig(encoder=(4, 4, 8, 8), neck=8, decoder=(8, 8, 4, 4))
GREY = (128 / 255,) * 3
PICTURE = np.random.default_rng(0).integers(0, 256, (60, 90, 3)).astype(np.uint8)
BOX = (20.0, 15.0, 30.0, 20.0)
RECIPE = "[model]\nencoder = [4, 4, 8, 8]\nneck = 8\ndecoder = [8, 8, 4, 4]\n\n[data]\nside = 32\n"


def record(margin=0.1, output=None):
    seen = ImageInput(
        name="crop", shape=(1, 3, 32, 32), mean=GREY, std=GREY, resize="stretch", region=Region(margin=margin, least=4)
    )
    return IoRecord(inputs=(seen,), outputs=(output or MaskOutput(name="logits"),))


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    net = PicoSam3Net(SMALL)
    net(torch.randn(4, 3, 32, 32))
    with torch.no_grad():
        net.head[-1].weight.mul_(50)  # so that logits differ from place to place
    return net.eval()


@pytest.fixture(scope="module")
def graph(net):
    target, x = find_target("raspberry-pi-5"), torch.randint(-128, 128, (2, 3, 32, 32)) / 128
    quantized = insert(capture(net, (x,), any_batch=True), target.arithmetic, [(-1.0, 127 / 128)])
    calibrate(quantized, [(x,)])
    return Graph(export_quantized(net, quantized.state(), target.arithmetic, [(-1.0, 127 / 128)], record()).model)


def expected(net, margin=0.1, mean=GREY, std=GREY, side=32):
    """By hand: the region, its pixels, the network."""
    seen = crop(PICTURE, region(BOX, (60, 90), margin), (side, side)).astype(np.float32) / 255
    x = torch.from_numpy(((seen - mean) / std).astype(np.float32).transpose(2, 0, 1)[None])
    with torch.no_grad():
        return net(x)[0, 0].numpy()


def close(found, wanted):
    """As near as eight bits are."""
    return np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.9


def test_an_onnx_file_of_ours_needs_no_more(graph, net, tmp_path):
    onnx.save(graph.model, tmp_path / "net.onnx")
    (answer,) = open_model(tmp_path / "net.onnx")(PICTURE, [BOX])
    assert answer.roi == region(BOX, (60, 90))
    assert answer.score == 1
    assert close(answer.logits, expected(net))


def test_the_record_beside_a_file_goes_before_its_own(graph, net, tmp_path):
    onnx.save(graph.model, tmp_path / "net.onnx")
    (tmp_path / "net.json").write_text(record(margin=0.5).model_dump_json())
    (answer,) = open_model(tmp_path / "net.onnx")(PICTURE, [BOX])
    assert answer.roi == region(BOX, (60, 90), 0.5)
    assert close(answer.logits, expected(net, margin=0.5))


def test_a_tflite_file_answers_with_the_record_beside_it(graph, net, tmp_path):
    pytest.importorskip("ai_edge_litert")
    (tmp_path / "net.tflite").write_bytes(write(graph, "float", "xnnpack").data)
    (tmp_path / "net.json").write_text(record().model_dump_json())
    (answer,) = open_model(tmp_path / "net.tflite")(PICTURE, [BOX])
    assert answer.logits.shape == (32, 32)
    assert close(answer.logits, expected(net))
    other = record(output=MaskOutput(name="other"))
    (tmp_path / "net.json").write_text(other.model_dump_json())
    with pytest.raises(RequestError, match="does not run as its io record says"):
        open_model(tmp_path / "net.tflite")


def test_without_a_record_nothing_tells_how_pixels_are_seen(graph, tmp_path):
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    kept = [p for p in model.metadata_props if p.key != IO_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(MissingError, match=r"net\.json"):
        open_model(tmp_path / "net.onnx")
    (tmp_path / "net.json").write_text("{")
    with pytest.raises(ProblemsError):
        open_model(tmp_path / "net.onnx")


def test_a_network_that_makes_no_mask_is_refused(graph, tmp_path):
    onnx.save(graph.model, tmp_path / "net.onnx")
    classes = ClassesOutput(name="logits", labels=("a", "b"))
    (tmp_path / "net.json").write_text(record(output=classes).model_dump_json())
    with pytest.raises(RequestError, match="one mask of one picture"):
        open_model(tmp_path / "net.onnx")
    (tmp_path / "net.txt").write_text("")
    with pytest.raises(RequestError, match="no model file"):
        open_model(tmp_path / "net.txt")


def test_a_student_answers_by_its_recipe(net, tmp_path):
    save_file(net.state_dict(), tmp_path / "large.safetensors")
    with pytest.raises(MissingError, match=r"large\.toml"):
        open_student(tmp_path / "large.safetensors")
    (tmp_path / "large.toml").write_text(RECIPE)
    (answer,) = open_student(tmp_path / "large.safetensors")(PICTURE, [BOX])
    np.testing.assert_allclose(answer.logits, expected(net), atol=1e-4)


def test_the_authors_network_sees_their_pixels(tmp_path):
    torch.manual_seed(0)
    torch.save(Theirs(True).state_dict(), tmp_path / "theirs.pt")
    teacher = open_student(tmp_path / "theirs.pt")
    (answer,) = teacher(PICTURE, [BOX])
    net = load_upstream(tmp_path / "theirs.pt").eval()
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(answer.logits, expected(net, 0.1, mean, std, 96), atol=1e-4)


def test_weights_that_do_not_fit_are_told(net, tmp_path):
    save_file(net.state_dict(), tmp_path / "large.safetensors")
    (tmp_path / "large.toml").write_text(RECIPE.replace("neck = 8", "neck = 16"))
    with pytest.raises(RequestError, match="does not fit its recipe"):
        open_student(tmp_path / "large.safetensors")
    (tmp_path / "large.safetensors").write_bytes(b"short")
    with pytest.raises(RequestError, match="does not fit its recipe"):
        open_student(tmp_path / "large.safetensors")
