"""Convolutions of bases: what they compute, and that their deployed forms compute the same."""

import numpy as np
import pytest
import torch
from edgekd.errors import EdgekdError, MissingError
from edgekd.students.pqkd.config import ModelConfig
from edgekd.students.pqkd.mixing import direction
from edgekd.students.pqkd.network import (
    DictionaryConv2d,
    Factorised,
    Layer,
    Photonic,
    condition,
    deployed_net,
    dictionaries,
    folded,
    layers,
    training_net,
)
from edgekd.students.pqkd.statistics import of_the_batch, settle
from edgekd.students.pqkd.stored import load_stored, save_stored
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

SIZES = (3, 5)
KINDS = {
    "pqkd": {},
    "some": {"compressed": (1,)},
    "dictionary": {"kind": "dictionary"},
    "plain": {"kind": "plain"},
}


def trained(config: ModelConfig):
    """A net that looks trained: features, other norms, statistics of some batches."""
    torch.manual_seed(0)
    net = training_net(config, *SIZES)
    if config.kind == "pqkd":
        net.photonic = Photonic(np.arange(3.0), 32)
        net.photonic.features.copy_(torch.from_numpy(np.random.default_rng(0).random(32)))
        condition(net, direction(net.photonic.features.numpy()), config.mixing)
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias)
    settle(net, [pictures(i) for i in range(3)])
    return net


def pictures(seed: int, count: int = 4) -> torch.Tensor:
    return torch.rand(count, 3, 12, 12, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_weights_are_the_mixed_bases():
    torch.manual_seed(0)
    conv = DictionaryConv2d(Layer(0, 3, 4, False, 2), learned=True)
    x = pictures(0)
    wanted = sum(nn.functional.conv2d(x, conv.mixing[:, :, r, None, None] * conv.bases[r], padding=1) for r in (0, 1))
    torch.testing.assert_close(conv(x), wanted)


def test_what_is_trained():
    names = {kind: dict(training_net(ModelConfig(**given), *SIZES).named_parameters()) for kind, given in KINDS.items()}
    assert names["pqkd"]["blocks.0.conv.bases"].shape == (4, 3, 3)
    assert "blocks.0.conv.mixing" not in names["pqkd"]
    assert names["dictionary"]["blocks.1.conv.mixing"].shape == (16, 8, 4)
    assert names["some"]["blocks.0.conv.weight"].shape == names["plain"]["blocks.0.conv.weight"].shape == (8, 3, 3, 3)


def test_weights_begin_as_large_as_those_of_a_plain_net():
    config = ModelConfig(widths=(64, 64), mixing=5)
    torch.manual_seed(0)
    net = training_net(config, *SIZES)
    condition(net, direction(np.random.default_rng(0).random(512)), config.mixing)
    both = folded(net, deployed_net(config, *SIZES))
    assert both.blocks[1].conv.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.35)


@pytest.mark.parametrize("form", ["dense", "factorised", "auto"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_deployed_form_answers_as_the_trained_one(kind, form):
    config = ModelConfig(widths=(8, 16, 16), form=form, **KINDS[kind])
    net, x = trained(config), pictures(9)
    final = folded(net, deployed_net(config, *SIZES)).eval()
    assert not dictionaries(final)
    with torch.no_grad():
        wanted = net(x)
        torch.testing.assert_close(final(x), wanted, rtol=1e-6, atol=1e-6 * wanted.abs().max().item())


def test_auto_takes_what_multiplies_less():
    rows = {outputs: Layer(0, 8, outputs, False, 4).factorised("auto") for outputs in (4, 7, 8, 64)}
    assert rows == {4: False, 7: False, 8: True, 64: True}  # 4 / O + 4 / 9 < 1 from 7.2 on
    assert not Layer(0, 8, 64, False, 0).factorised("factorised")
    assert not Layer(0, 8, 64, False, 4).factorised("dense")
    kept = deployed_net(ModelConfig(widths=(4, 16), form="auto"), *SIZES)
    assert [isinstance(block.conv, Factorised) for block in kept.blocks] == [False, True]


def test_sides_are_halved_where_widths_change():
    found = layers(ModelConfig(widths=(8, 8, 16, 16)), 1)
    wanted = [(1, 8, False), (8, 8, True), (8, 16, False), (16, 16, True)]
    assert [(row.inputs, row.outputs, row.pooled) for row in found] == wanted


@pytest.mark.parametrize("form", ["dense", "factorised"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_stored_form_comes_to_the_same_weights(kind, form, tmp_path):
    config = ModelConfig(form=form, mixing=4, **KINDS[kind])
    net = trained(config)
    save_stored(net, config, SIZES, tmp_path / "net")
    wanted = folded(net, deployed_net(config, *SIZES)).state_dict()
    torch.manual_seed(99)
    found = load_stored(tmp_path / "net").state_dict()
    assert wanted.keys() == found.keys()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    other = load_stored(tmp_path / "net", "dense" if form == "factorised" else "factorised")
    torch.testing.assert_close(other(pictures(1)), load_stored(tmp_path / "net")(pictures(1)), rtol=1e-5, atol=1e-5)


def test_the_stored_form_holds_no_mixing(tmp_path):
    config = ModelConfig(widths=(32, 64, 64))
    save_stored(trained(config), config, SIZES, tmp_path / "net")
    numbers = 3 * 4 * 9 + 4 * (32 + 64 + 64) + 5 * 65 + 32
    assert (tmp_path / "net").stat().st_size < 4 * numbers + 4000


def test_a_stored_form_that_is_none(tmp_path):
    with pytest.raises(MissingError, match=r"does not exist"):
        load_stored(tmp_path / "gone")
    config = ModelConfig()
    save_stored(trained(config), config, SIZES, tmp_path / "net")
    whole = (tmp_path / "net").read_bytes()
    for wrong in (whole[: len(whole) // 2], whole.replace(b"kind", b"kinn"), whole.replace(b'"rank', b'"rink'), b""):
        (tmp_path / "net").write_bytes(wrong)
        with pytest.raises(EdgekdError, match=r"is no stored form"):
            load_stored(tmp_path / "net")


def test_what_a_stored_form_lacks_is_not_made_up(tmp_path):
    config = ModelConfig()
    save_stored(trained(config), config, SIZES, tmp_path / "net")
    with safe_open(tmp_path / "net", "pt") as file:
        state, about = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    for name in (name for name in state if not name.endswith("num_batches_tracked")):
        save_file({other: tensor for other, tensor in state.items() if other != name}, tmp_path / "less", about)
        with pytest.raises(EdgekdError, match=r"is no stored form"):
            load_stored(tmp_path / "less")


def test_statistics_taken_anew_are_the_batches_mean():
    net, batches = trained(ModelConfig(kind="plain", widths=(8,))), [pictures(i, 6) for i in range(4)]
    settle(net, batches)
    with torch.no_grad():
        means = torch.stack([net.blocks[0].conv(x).mean((0, 2, 3)) for x in batches])
    torch.testing.assert_close(net.blocks[0].norm.running_mean, means.mean(0), rtol=1e-5, atol=1e-6)
    assert net.blocks[0].norm.momentum == 0.1
    assert not net.training
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    settle(net, [])
    with of_the_batch(net), torch.no_grad():
        shown = net(batches[0])
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert not torch.allclose(shown, net(batches[0]))
