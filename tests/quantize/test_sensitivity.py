"""The layer that was spoiled on purpose is found first, and keeping it mends the net."""

import numpy as np
import pytest
import torch
from edgekd.quantize.methods import Source
from edgekd.quantize.sensitivity import Bench, choose, scan
from edgekd.schema.recipe import Quantize
from edgekd.schema.targets import find_target
from edgekd.students.qdr.task import DenoiseTask
from torch import nn

IO = DenoiseTask({}, 0).io((16, 24))
CONFIG = Quantize(steps=1, lr=1e-3, calibration={"batches": 2})


class Three(nn.Module):
    """`b` has a huge weight behind a channel that is always 0: harmless in float, ruin for one scale per tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 3, 1)
        with torch.no_grad():
            self.a.weight[0], self.a.bias[0] = 0.0, 0.0
            self.b.weight[:, 0] = 50.0

    def forward(self, x):
        return self.c(torch.relu(self.b(torch.relu(self.a(x)))))


def bench(bits: int = 4, config: Quantize = CONFIG) -> Bench:
    torch.manual_seed(0)
    net, arithmetic = Three().eval(), find_target("jetson").arithmetic
    weights = arithmetic.weights.model_copy(update={"bits": bits, "per": "tensor"})
    images = [np.random.default_rng(i).uniform(-1, 1, (1, 3, 16, 24)).astype(np.float32) for i in range(3)]
    want = [net(torch.from_numpy(x)).detach().numpy() for x in images]

    def score(run) -> float:
        got = [run({"image": x})["restored"] for x in images]
        return -float(np.mean([np.abs(a - b).mean() for a, b in zip(got, want, strict=True)]))

    def batch(step: int) -> dict[str, torch.Tensor]:
        return {"x": torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(step)) * 2 - 1}

    source = Source(batch, lambda b: (b["x"],), lambda y, b: y.mean(), (), [(-1.0, 1.0)])
    return Bench(net, source, arithmetic.model_copy(update={"weights": weights}), config, IO, score)


def silent(done: int, total: int, text: str) -> None:
    """No progress."""


def test_the_spoiled_layer_is_first_and_float_is_exact():
    found = scan(bench(), silent)
    assert found.full == pytest.approx(0.0, abs=1e-6)
    assert [layer.key for layer in found.layers] == ["a", "b", "c"]
    assert found.ranked[0].key == "b"
    assert found.ranked[0].metric < 3 * found.ranked[1].metric
    assert [layer.macs for layer in found.layers] == [16 * 24 * n for n in (8 * 27, 8 * 72, 3 * 8)]
    assert [layer.weight_bytes for layer in found.layers] == [8 * 27 // 2, 8 * 72 // 2, 3 * 8 // 2]


def test_a_layer_alone_is_what_its_weight_and_input_lose():
    """Against the same rounding in plain torch."""
    made = bench()
    found = {layer.key: layer.metric for layer in scan(made, silent).layers}
    quantized = made.quantized({})
    net, b = made.net, quantized.weighted["b"]
    s_x, s_w = b.source.scale().item(), made.net.b.weight.abs().max().item() / 7

    def run(inputs):
        with torch.no_grad():
            x = torch.relu(net.a(torch.from_numpy(inputs["image"])))
            x = (x / s_x).round().clamp(-128, 127) * s_x
            weight = (net.b.weight / s_w).round().clamp(-7, 7) * s_w
            bias = (net.b.bias / (s_x * s_w)).round() * s_x * s_w
            return {"restored": net.c(torch.relu(torch.conv2d(x, weight, bias, padding=1))).numpy()}

    assert found["b"] == pytest.approx(made.score(run), rel=1e-4)


def test_keeping_it_mends_the_net():
    made = bench()
    found = scan(made, silent)
    trials = list(choose(made, found, None, 1, silent))
    assert (trials[0].key, trials[0].keep, trials[0].chosen) == ("b", 8, True)
    assert trials[0].metric > found.quantized
    assert trials[0].metric == made.metric(made.quantized({"b": 8}).module)
    assert {t.key for t in trials if t.chosen} == {"b"}
    assert [t.keep for t in trials] == [8, "float"]


def test_a_budget_that_is_reached_ends_the_search():
    made = bench()
    found = scan(made, silent)
    trials = list(choose(made, found, 0.5 * (found.full - found.quantized), None, silent))
    assert found.full - trials[-1].metric <= 0.5 * (found.full - found.quantized)
    assert all(found.full - t.metric > 0.5 * (found.full - found.quantized) for t in trials[:-1])
    assert list(choose(made, found, 10.0, None, silent)) == []


def test_at_eight_bits_only_float_is_more():
    made = bench(8)
    assert {t.keep for t in choose(made, scan(made, silent), 0.0, None, silent)} == {"float"}


def test_layers_that_the_recipe_keeps_in_float_are_not_measured():
    made = bench(config=CONFIG.model_copy(update={"keep": {"b": "float"}}))
    assert [layer.key for layer in scan(made, silent).layers] == ["a", "c"]
