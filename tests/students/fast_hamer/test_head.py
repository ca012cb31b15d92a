"""The decoder: upstream's function of its tensors, and the deployed form of it."""

import pytest
import torch
from edgekd.students.fast_hamer.config import HeadConfig
from edgekd.students.fast_hamer.deployed import DeployedHead, deployed
from edgekd.students.fast_hamer.head import ManoHead, joined
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import gelu, layer_norm

from tests.students.fast_hamer.authors import head


def count(net):
    return sum(p.numel() for p in net.parameters())


def written_out(state, features, heads):
    """HaMeR's decoder as its code defines it, attention over one key and all, in double precision."""
    at = {name: tensor.double() for name, tensor in state.items()}
    places = features.double().flatten(2).transpose(1, 2)

    def attend(q, k, v):
        q, k, v = (t.reshape(*t.shape[:2], heads, -1).transpose(1, 2) for t in (q, k, v))
        weights = torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, dim=-1)
        return (weights @ v).transpose(1, 2).flatten(2)

    def affine(x, name):
        return x @ at[f"{name}.weight"].T + at[f"{name}.bias"]

    x = affine(torch.zeros(len(features), 1, 1).double(), "transformer.to_token_embedding")
    x = x + at["transformer.pos_embedding"]
    for layer in range(sum(name.endswith("to_qkv.weight") for name in at)):
        for part, name in enumerate(f"transformer.transformer.layers.{layer}.{part}" for part in range(3)):
            y = layer_norm(x, x.shape[-1:], at[f"{name}.norm.weight"], at[f"{name}.norm.bias"], 1e-5)
            if part == 0:
                y = affine(attend(*(y @ at[f"{name}.fn.to_qkv.weight"].T).chunk(3, dim=2)), f"{name}.fn.to_out.0")
            elif part == 1:
                keys, values = (places @ at[f"{name}.fn.to_kv.weight"].T).chunk(2, dim=2)
                y = affine(attend(y @ at[f"{name}.fn.to_q.weight"].T, keys, values), f"{name}.fn.to_out.0")
            else:
                y = affine(gelu(affine(y, f"{name}.fn.net.0")), f"{name}.fn.net.3")
            x = x + y
    outs = {"decpose": "init_hand_pose", "decshape": "init_betas", "deccam": "init_cam"}
    return [affine(x[:, 0], out) + at[mean] for out, mean in outs.items()]


def trained(config, channels, seed=0):
    """A decoder whose every tensor counts."""
    torch.manual_seed(seed)
    net = ManoHead(config, channels).eval()
    with torch.no_grad():
        for tensor in net.state_dict().values():
            tensor.copy_(torch.randn_like(tensor) * (0.2 if tensor.dim() == 2 else 1))
    return net


CONFIGS = st.builds(
    HeadConfig,
    depth=st.integers(1, 3),
    width=st.sampled_from([16, 24, 64]),
    heads=st.sampled_from([1, 2, 4]),
    head_width=st.sampled_from([4, 8]),
    hidden=st.sampled_from([8, 40]),
)


@settings(max_examples=12, deadline=None)
@given(config=CONFIGS, channels=st.sampled_from([5, 16]), seed=st.integers(0, 99))
def test_both_forms_compute_what_upstream_s_does(config, channels, seed):
    net = trained(config, channels, seed)
    features = torch.randn(2, channels, 3, 4)
    right = written_out(net.state_dict(), features, config.heads)
    with torch.no_grad():
        for form in (net, deployed(net)):
            for found, wanted in zip(joined(form(features)), right, strict=True):
                torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=2e-5)


def test_names_and_shapes_are_upstream_s():
    with torch.device("meta"):
        state = ManoHead(HeadConfig(), 960).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == head(960)


@pytest.mark.parametrize(
    ("channels", "before", "behind"), [(960, 37_531_757, 29_175_405), (1280, 39_497_837, 30_980_205)]
)
def test_the_deployed_form_has_fewer_parameters(channels, before, behind):
    width, inner, norm = 1024, 512, 2 * 1024
    think = norm + 2 * width * 1024 + 1024 + width
    ask = inner * channels + inner * width + width  # values, output
    attend = norm + width * width + width
    question = norm + inner * width + inner * channels  # query, keys
    assert behind == 8 * channels + 6 * (ask + think) + 5 * (attend + question) + 109 * (width + 1)
    with torch.device("meta"):
        assert count(ManoHead(HeadConfig(), channels)) == before
        assert count(DeployedHead(HeadConfig(), channels)) == behind


def test_a_wide_token_keeps_two_small_matrices():
    config = HeadConfig(depth=2, width=64, heads=2, head_width=8, hidden=8)
    net = trained(config, 8)
    assert [tuple(m.weight.shape) for m in deployed(net).layers[0].attend[1:]] == [(16, 64), (64, 16)]


def test_fresh_answers_are_near_the_mean_hand():
    torch.manual_seed(0)
    pose, shape, camera = ManoHead(HeadConfig(depth=2, width=64), 16)(torch.randn(3, 16, 2, 2))
    rest = torch.tensor([1.0, 0, 0, 0, 1, 0]).repeat(16)
    assert (pose - rest).abs().max() < 0.5
    assert shape.abs().max() < 0.5
    assert (camera - torch.tensor([0.9, 0, 0])).abs().max() < 0.5


def test_queries_and_keys_of_the_lone_token_learn_nothing():
    net = trained(HeadConfig(depth=1, width=16, heads=2, head_width=4, hidden=8), 8)
    sum(out.square().sum() for out in net(torch.randn(2, 8, 2, 2))).backward()
    learned = net.transformer.transformer.layers[0][0].fn.to_qkv.weight.grad
    assert not learned[:16].any()
    assert learned[16:].any()
