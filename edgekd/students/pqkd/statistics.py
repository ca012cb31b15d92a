"""Batch norm's statistics, where weights change at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def _norms(net: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]


@contextmanager
def of_the_batch(net: nn.Module) -> Iterator[None]:
    """Within it the net normalises by each batch alone, and remembers none."""
    was = net.training
    net.train()
    for norm in _norms(net):
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in _norms(net):
            norm.track_running_stats = True
        net.train(was)


def settle(net: nn.Module, batches: Sequence[Tensor]) -> None:
    """Take the statistics anew, as the plain mean over these batches; without any they stay. The net is in `eval`
    after it."""
    norms = _norms(net) if batches else []
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    net.train()
    with torch.no_grad():
        for batch in batches:
            net(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    net.eval()
