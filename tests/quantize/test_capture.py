"""Keys survive a new capture; what cannot be captured says so."""

import pytest
import torch
from edgekd.errors import RequestError
from edgekd.quantize.capture import capture, same_graph
from torch import nn

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
    with pytest.raises(RequestError, match="first at `a`"):
        same_graph(small, large)
