"""HaMeR as a teacher: a net of its form and small sizes, and the hand of our own making for MANO's."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers", reason="not here: pip install 'edgekd[hamer]'")

from edgekd.students.fast_hamer import upstream
from edgekd.students.fast_hamer.config import HeadConfig
from edgekd.students.fast_hamer.crop import View, crop_of, cut
from edgekd.students.fast_hamer.hand.load import SHIPPED, load_hand
from edgekd.students.fast_hamer.hand.rotations import from_6d
from edgekd.students.fast_hamer.hand.skinning import skin
from edgekd.students.fast_hamer.teachers.hamer import HamerTeacher
from edgekd.students.fast_hamer.teachers.hamer_net import HamerNet, VitConfig

from tests.students.fast_hamer.test_crop import hand

PAGE = Path(__file__).parents[4] / "docs/fast-hamer.md"
HEAD = HeadConfig(depth=1, width=16, heads=2, head_width=8, hidden=16)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    made = HamerNet(VitConfig(32, 1, 2), HEAD)
    with torch.no_grad():
        made.mano_head.init_cam[0, 0] = 0.9
        made.mano_head.init_hand_pose.copy_(torch.eye(3)[:, :2].T.flatten().repeat(16))
    return made.train()


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (120, 130, 3), np.uint8)


def test_an_answer_is_the_nets_and_its_hand_skinned(net, picture):
    model, known = load_hand(SHIPPED), hand(right=False)
    crop = crop_of(known, View(turn=20))
    (said,) = HamerTeacher(net, model)(picture, [crop])
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pixels = (torch.from_numpy(cut(picture, crop, 256).copy()) / 255 - mean) / deviation
    with torch.inference_mode():
        pose, shape, camera, seen = (t[0].numpy() for t in net(pixels.permute(2, 0, 1)[None]))
    rotations = from_6d(pose.reshape(16, 6))
    np.testing.assert_allclose(said.rotations, rotations, atol=1e-5)
    np.testing.assert_allclose(said.shape, shape, atol=1e-5)
    np.testing.assert_allclose(said.map, seen, atol=1e-4)
    assert said.map.shape == (32, 16, 12)
    (points,) = skin(model, rotations[None], shape[None])[1]
    np.testing.assert_allclose(said.joints, points, atol=1e-5)
    depth = points[:, 2] + 2 * 5000 / (256 * camera[0])
    want = 5000 / 256 * (points[:, :2] + camera[1:]) / depth[:, None]
    np.testing.assert_allclose(said.pixels, want, atol=1e-4)
    assert said.score == 1


def test_it_answers_the_same_each_time(net, picture):
    teacher, crops = HamerTeacher(net, load_hand(SHIPPED)), [crop_of(hand())] * 2
    one, other = teacher(picture, crops)
    np.testing.assert_array_equal(one.map, other.map)
    assert not net.training


def test_it_is_exported_as_the_page_says(net, tmp_path, monkeypatch):
    """At small sizes; weights lie beside the graph, where those of 2.7 GB must."""
    onnxruntime = pytest.importorskip("onnxruntime")
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(upstream, "load_hamer", lambda path: net.eval())
    exec(code, {})
    assert {path.name for path in tmp_path.iterdir()} == {"hamer.onnx", "hamer.onnx.data"}
    session, crop = onnxruntime.InferenceSession("hamer.onnx"), torch.randn(1, 3, 256, 256)
    answers = session.run(["pose", "shape", "camera", "map"], {"crop": crop.numpy()})
    with torch.inference_mode():
        for said, want in zip(answers, net(crop), strict=True):
            np.testing.assert_allclose(said, want, atol=1e-4)
