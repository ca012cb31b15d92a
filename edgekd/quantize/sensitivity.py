"""Which layers lose what: the task's metric with one layer quantized at a time, and a greedy choice of what to keep.

Per-layer measurement and greedy search are old practice; measuring by the task's metric and re-measuring jointly after
each choice is the form used here. The samples that are scored choose the layers: judge the result on others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgekd.quantize.capture import capture
from edgekd.quantize.export import example
from edgekd.quantize.insert import Keep, Kept, Quantized, calibrate, insert
from edgekd.quantize.methods import Source, calibration_batches
from edgekd.quantize.weighted import QuantWeighted
from edgekd.schema.io import IoRecord
from edgekd.schema.recipe import Quantize
from edgekd.schema.target import Arithmetic
from edgekd.train.loop import Tick

Arrays = dict[str, NDArray[np.float32]]
Run = Callable[[Arrays], Arrays]


@dataclass(frozen=True)
class Layer:
    """One layer, and the metric when it alone is quantized: its weight, its bias and the input it reads."""

    key: str
    macs: int
    weight_bytes: int
    """Of the weight, at the bits it is quantized to."""
    metric: float


@dataclass(frozen=True)
class Scan:
    """The metric of the float net, of the net quantized as the recipe says, and of each layer alone."""

    full: float
    quantized: float
    layers: tuple[Layer, ...]

    def signed(self, sign: int) -> Scan:
        """The metrics times `sign`: errors as they are."""
        layers = tuple(replace(layer, metric=sign * layer.metric) for layer in self.layers)
        return Scan(sign * self.full, sign * self.quantized, layers)

    @property
    def ranked(self) -> list[Layer]:
        """Layers that lose anything, those that lose most first."""
        return sorted((layer for layer in self.layers if layer.metric < self.full), key=lambda layer: layer.metric)


@dataclass(frozen=True)
class Trial:
    """A layer kept beside those chosen before it, the metric of all, and whether it was worth it."""

    key: str
    keep: Kept
    metric: float
    chosen: bool


@dataclass(frozen=True)
class Bench:
    """What measuring needs: the float net, how it is quantized, and the mean metric of a network, errors negated."""

    net: nn.Module
    source: Source
    arithmetic: Arithmetic
    config: Quantize
    io: IoRecord
    score: Callable[[Run], float]

    def quantized(self, keep: Keep) -> Quantized:
        """The net calibrated as the arm `ptq` is, at the deployed shape."""
        batches, ranges = calibration_batches(self.source, self.config), self.source.ranges
        seen = insert(capture(self.net, batches[0]), self.arithmetic, ranges, self.config.calibration, keep)
        calibrate(seen, batches)
        out = insert(capture(self.net, example(self.io)), self.arithmetic, ranges, keep=keep)
        out.load_state(seen.state())
        out.mode("quantize")
        out.module.eval()
        return out

    def metric(self, module: nn.Module) -> float:
        """Mean metric of a captured module."""

        def run(inputs: Arrays) -> Arrays:
            with torch.no_grad():
                made = module(*(torch.from_numpy(inputs[spec.name]) for spec in self.io.inputs))
            outputs = (made,) if isinstance(made, Tensor) else made
            return {spec.name: y.numpy() for spec, y in zip(self.io.outputs, outputs, strict=True)}

        return self.score(run)


def scan(bench: Bench, tick: Tick) -> Scan:
    """Measure every layer alone. One calibration, then quantizers are switched."""
    quantized = bench.quantized(bench.config.keep)
    total = bench.metric(quantized.module)
    quantized.mode("float")
    sizes, full = _macs(quantized, example(bench.io)), bench.metric(quantized.module)
    layers = []
    for i, (key, operator) in enumerate(quantized.weighted.items()):
        tick(i, len(quantized.weighted), key)
        with _alone(operator):
            metric = bench.metric(quantized.module)
        layers.append(Layer(key, sizes[key], operator.weight.numel() * operator.quantizer.grid.bits // 8, metric))
    return Scan(full, total, tuple(layers))


def choose(bench: Bench, found: Scan, budget: float | None, most: int | None, tick: Tick) -> Iterator[Trial]:
    """Keep layers, the most sensitive first, until the metric is within `budget` of the float net's or `most` are kept.

    Where weights have 4 or 2 bits a layer gets 8 first; if that is not enough, float. Each trial is quantized and
    calibrated anew with all layers chosen before it, and kept only where the metric rises.
    """
    keep, best, chosen = {**bench.config.keep}, found.quantized, set[str]()
    hows: tuple[Kept, ...] = ("float",) if bench.arithmetic.weights.bits in (8, 7) else (8, "float")
    trials = [(how, layer.key) for how in hows for layer in found.ranked]
    for i, (how, key) in enumerate(trials):
        if budget is not None and found.full - best <= budget:
            return
        if most is not None and len(chosen | {key}) > most:
            continue
        tick(i, len(trials), f"{key} in {how}")
        trial = {other: kept for other, kept in keep.items() if other != key} | {key: how}
        metric = bench.metric(bench.quantized(trial).module)
        better = metric > best
        if better:
            keep, best, chosen = trial, metric, chosen | {key}
        yield Trial(key, how, metric, better)


@contextmanager
def _alone(operator: QuantWeighted) -> Iterator[None]:
    """Only this layer is quantized, and its input for it alone."""
    source = operator.source

    def before(module: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
        source.mode = "quantize"
        return (source.fake(args[0]),)

    def after(module: nn.Module, args: tuple[Tensor], out: Tensor) -> None:
        source.mode = "float"

    hooks = operator.register_forward_pre_hook(before), operator.register_forward_hook(after)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _macs(quantized: Quantized, inputs: tuple[Tensor, ...]) -> dict[str, int]:
    """Multiply-accumulates of every layer: each output, of a ConvTranspose each input, meets a whole filter."""
    out: dict[str, int] = {}

    def count(key: str, operator: QuantWeighted) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Tensor], y: Tensor) -> None:
            meets = args[0] if operator.transposed else y
            out[key] = meets.numel() * operator.weight[0].numel()

        return hook

    hooks = [operator.register_forward_hook(count(key, operator)) for key, operator in quantized.weighted.items()]
    with torch.no_grad():
        quantized.module(*inputs)
    for hook in hooks:
        hook.remove()
    return out
