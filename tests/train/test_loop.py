"""Training is repeatable, and goes on where it was cut off."""

import json
from itertools import pairwise

import pytest
import torch
from edgekd.errors import GateFailedError, RequestError
from edgekd.train import loop
from edgekd.train.teach import WEIGHTS, load_weights, save_weights, train_float
from torch import nn


def batches(step):
    generator = torch.Generator().manual_seed(step)
    return {"x": torch.randn(8, 3, 8, 8, generator=generator)}


def loss(net, batch):
    return (net(batch["x"]) - batch["x"].mean(1, keepdim=True)).square().mean()


def train(folder, tick=lambda *args: None, steps=12, batches=batches, lr=1e-2, **more):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 1, 3, padding=1), nn.Dropout(0.1))
    folder.mkdir(exist_ok=True)
    train_float(net, loss, batches, steps=steps, lr=lr, weight_decay=0.01, warmup=0.1, folder=folder, tick=tick, **more)
    return net


class CutOffError(Exception):
    pass


def test_a_run_cut_off_ends_with_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", -1.0)
    whole = train(tmp_path / "whole")

    def cut(done, total, text):
        if done == 7:
            raise CutOffError

    with pytest.raises(CutOffError):
        train(tmp_path / "cut", cut)
    assert (tmp_path / "cut" / "checkpoint.pt").exists()
    seen = []
    resumed = train(tmp_path / "cut", lambda done, *args: seen.append(done))
    assert seen[0] == 8
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))
    assert (tmp_path / "cut" / WEIGHTS).read_bytes() == (tmp_path / "whole" / WEIGHTS).read_bytes()
    curves = [json.loads((tmp_path / name / "curve.json").read_text())["task"] for name in ("whole", "cut")]
    assert curves[0] == curves[1]
    assert len(curves[0]) == 12
    assert curves[0][-1] < curves[0][0]


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_damaged_checkpoint_is_told(tmp_path, monkeypatch, content):
    if content is None:  # a real one, cut in half
        monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", -1.0)

        def cut(done, total, text):
            if done == 3:
                raise CutOffError

        with pytest.raises(CutOffError):
            train(tmp_path, cut)
        whole = (tmp_path / "checkpoint.pt").read_bytes()
        content = whole[: len(whole) // 2]
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(RequestError, match="is damaged"):
        train(tmp_path)


def test_damaged_weights_are_told(tmp_path):
    net = train(tmp_path)
    data = (tmp_path / WEIGHTS).read_bytes()
    for broken in (data[:40], b"", data + b"x"):
        (tmp_path / WEIGHTS).write_bytes(broken)
        with pytest.raises(RequestError, match="is damaged"):
            load_weights(net, tmp_path)


def test_a_loss_that_explodes_ends_the_run(tmp_path):
    with pytest.raises(GateFailedError, match="diverged"):
        train(tmp_path, batches=lambda step: {"x": torch.full((1, 3, 8, 8), float("inf"))})


def test_the_learning_rate_rises_then_falls_to_zero():
    values = [loop.cosine(step, 100, 0.1) for step in range(100)]
    assert values[0] == pytest.approx(0.1)
    assert max(values) == pytest.approx(values[9])
    assert values[-1] < 1e-3
    assert all(a > b for a, b in pairwise(values[10:]))


def test_bfloat16_trains_too_and_leaves_float32_weights(tmp_path):
    nets = {}
    for precision in ("float32", "bf16"):
        (tmp_path / precision).mkdir()
        nets[precision] = train(tmp_path / precision, precision=precision)
    full, half = (nets[p].state_dict() for p in ("float32", "bf16"))
    assert all(t.dtype is torch.float32 for t in half.values())
    assert not all(torch.equal(full[name], half[name]) for name in full)
    for name, tensor in full.items():
        torch.testing.assert_close(half[name], tensor, atol=0.05, rtol=0.05)


def test_tied_weights_are_kept_and_loaded(tmp_path):
    layer = nn.Conv2d(3, 3, 1)
    net = nn.Sequential(layer, layer)
    save_weights(net, tmp_path)
    other = nn.Conv2d(3, 3, 1)
    loaded = load_weights(nn.Sequential(other, other), tmp_path)
    torch.testing.assert_close(loaded.state_dict(), net.state_dict())
