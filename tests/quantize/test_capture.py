"""Keys survive a new capture; what cannot be captured says so."""

import pytest
import torch
from edgekd.errors import RequestError
from edgekd.quantize.capture import capture, same_graph, training_only
from torch import nn
from torch.nn import functional as F  # noqa: N812

from tests.quantize.nets import Branches


def test_keys_survive_another_size_and_batch():
    net = Branches()
    a, b = capture(net, (torch.zeros(4, 3, 16, 16),)), capture(net, (torch.zeros(1, 3, 32, 48),))
    assert [op.output for op in a.ops] == [op.output for op in b.ops]
    assert a.ops == b.ops
    assert len({op.output for op in a.ops}) == len(a.ops)


def test_a_module_used_twice_has_two_keys():
    names = [op.output for op in capture(Branches(), (torch.zeros(1, 3, 16, 16),)).ops]
    assert {"c", "c_1", "act/relu", "act/relu_1"} <= set(names)


def test_the_captured_graph_computes_the_same():
    net, x = Branches().eval(), torch.randn(2, 3, 16, 16)
    out = capture(net, (x,)).module(x)
    torch.testing.assert_close(out[0] if isinstance(out, (tuple, list)) else out, net(x))


def test_control_flow_on_data_is_refused():
    class Doubtful(nn.Module):
        def forward(self, x):
            return x if x.mean() > 0 else -x

    with pytest.raises(RequestError, match="cannot be captured"):
        capture(Doubtful(), (torch.zeros(1, 3, 8, 8),))


def test_an_unknown_tap_is_told():
    with pytest.raises(RequestError, match=r"no module `middle`"):
        capture(Branches(), (torch.zeros(1, 3, 16, 16),)).tap("middle")


def test_a_net_whose_operators_depend_on_the_size_is_refused():
    class Padded(Branches):
        def forward(self, x):
            if x.shape[-1] > 20:
                x = torch.relu(x)
            return super().forward(x)

    net = Padded()
    small, large = capture(net, (torch.zeros(1, 3, 16, 16),)), capture(net, (torch.zeros(1, 3, 32, 32),))
    same_graph(small, capture(net, (torch.zeros(4, 3, 20, 20),)))
    with pytest.raises(RequestError, match=r"first Relu at `relu` \(test_capture.py:\d+\)"):
        same_graph(small, large)


def answers(net: nn.Module, *inputs: torch.Tensor) -> None:
    out = capture(net, inputs).module(*inputs)
    torch.testing.assert_close(out[0] if isinstance(out, (tuple, list)) else out, net.eval()(*inputs))


@pytest.mark.parametrize("masked", ["none", "float", "bool"])
def test_attention_is_seen_as_its_products(masked):
    class Attention(nn.Module):
        def forward(self, x):
            mask = torch.zeros(6, 6)
            mask[0, 3:] = -torch.inf
            masks = {"none": None, "float": mask, "bool": mask == 0}
            return F.scaled_dot_product_attention(x, x + 1, x * 2, attn_mask=masks[masked])

    net, x = Attention(), torch.randn(2, 3, 6, 8)
    kinds = [op.type for op in capture(net, (x,)).ops]
    assert kinds.count("MatMul") == 2
    assert "Softmax" in kinds
    answers(net, x)


def test_torch_attention_and_composed_activations_are_taken_apart():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            y, _ = self.attention(x, x, x, need_weights=False)
            return F.mish(F.silu(y))

    net, x = Net(), torch.randn(2, 5, 8)
    kinds = [op.type for op in capture(net, (x,)).ops]
    assert {"MatMul", "Softmax", "Sigmoid", "Mul", "Tanh"} <= set(kinds)
    assert not {"silu", "mish", "scaled_dot_product_attention"} & set(kinds)
    answers(net, x)


def test_what_is_changed_in_place_is_read_changed_afterwards():
    class InPlace(nn.Module):
        def forward(self, x):
            y = x * 2
            F.relu_(y)  # the result is not used, `y` is
            y += 1
            return y.clamp_(0, 2) - y

    net = InPlace()
    answers(net, torch.randn(2, 3, 4, 4))
    assert [op.type for op in capture(net, (torch.randn(2, 3, 4, 4),)).ops] == ["Mul", "Relu", "Add", "Clip", "Sub"]


def test_a_tensor_whose_part_is_changed_in_place_is_left_as_it_is():
    class Part(nn.Module):
        def forward(self, x):
            y = x * 2
            y[:, 0].zero_()
            y.flatten(1).relu_()
            return y + 1

    answers(Part(), torch.randn(2, 3, 4, 4))


def test_what_depends_on_parameters_alone_is_one_constant():
    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.scale = nn.Parameter(torch.randn(1, 3, 4, 4)), nn.Parameter(torch.ones(1, 3, 1, 1))

        def forward(self, x):
            table = F.interpolate(self.table, size=x.shape[2:], mode="bicubic")
            return x + table * self.scale

    net = Table()
    small, large = (capture(net, (torch.randn(1, 3, s, s),)) for s in (4, 16))  # at 4 nothing is interpolated
    assert small.ops == large.ops
    assert [op.inputs for op in small.ops] == [("x", "scale+table")]


def test_a_batch_of_any_size_goes_through_one_graph():
    net = Branches().eval()
    graph = capture(net, (torch.zeros(4, 3, 16, 16),), any_batch=True)
    assert graph.ops == capture(net, (torch.zeros(1, 3, 16, 16),)).ops
    for batch in (1, 3):
        x = torch.randn(batch, 3, 16, 16)
        out = graph.module(x)
        torch.testing.assert_close(out[0] if isinstance(out, (tuple, list)) else out, net(x))


def test_what_stands_under_if_training_is_told():
    class Wavering(nn.Module):
        def forward(self, x):
            if self.training:
                x = torch.tanh(x)
            return torch.relu(x)

    net, x = Wavering(), torch.zeros(1, 3, 8, 8)
    assert [text.partition(" ")[0] for text in training_only(net, capture(net, (x,)), (x,))] == ["Tanh"]
    assert not net.training
    assert training_only(Branches(), capture(Branches(), (x,)), (x,)) == []
