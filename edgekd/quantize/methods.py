"""How a student becomes integers: calibration alone (PTQ), or training with fake quantization (QAT)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from edgekd.errors import RequestError
from edgekd.quantize.capture import capture
from edgekd.quantize.insert import Quantized, Ranges, calibrate, insert, tap
from edgekd.schema.recipe import Quantize
from edgekd.schema.target import Arithmetic
from edgekd.store import write_atomic
from edgekd.train.loop import Losses, Tick, fit
from edgekd.train.losses import dfd
from edgekd.train.teach import save_weights

QUANTIZERS = "quantizers.safetensors"
EXPONENTS = 0.01
"""Peak learning rate of power-of-two steps, in octaves: they have half of one to go before anything changes.

As trained thresholds have it (TQT, Jain et al. 2019, arXiv 1903.08066).
"""
Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Source:
    """What training needs of a student: batches, the network's inputs in them, the task's loss, taps, ranges.

    The loss gets what the network gives: a Tensor, or a tuple where it has several outputs.
    """

    batches: Callable[[int], Batch]
    inputs: Callable[[Batch], tuple[Tensor, ...]]
    loss: Callable[[Any, Batch], Tensor]
    """Of the network's outputs, in the structure the network gives them."""
    taps: tuple[str, ...]
    ranges: Ranges


def ptq(net: nn.Module, source: Source, arithmetic: Arithmetic, config: Quantize, folder: Path) -> None:
    """Post-training quantization, the control of QAT: calibrate, keep the weights, write both to `folder`."""
    captured = capture(net, source.inputs(source.batches(0)), any_batch=True)
    quantized = insert(captured, arithmetic, source.ranges, config.calibration, config.keep)
    calibrate(quantized, calibration_batches(source, config))
    save_quantized(net, quantized, folder)


def qat(
    net: nn.Module,
    teacher: nn.Module,
    source: Source,
    arithmetic: Arithmetic,
    config: Quantize,
    folder: Path,
    tick: Tick,
) -> None:
    """Quantization-aware training of `net` against the frozen `teacher`, in the target's arithmetic.

    Loss: the task's plus `config.dfd` times the bottleneck distance at each tap, one teacher pass a step. Ranges are
    learned until `config.freeze` of the steps, then stay.
    """
    for each in (net, teacher):
        each.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    example = source.inputs(source.batches(0))
    captured, observed = capture(net, example, any_batch=True), capture(teacher.requires_grad_(False), example)
    taps = [(tap(captured, path), tap(observed, path)) for path in source.taps]
    quantized = insert(captured, arithmetic, source.ranges, config.calibration, config.keep)
    calibrate(quantized, calibration_batches(source, config))

    def losses(model: nn.Module, batch: Batch) -> Losses:
        inputs = source.inputs(batch)
        if taps:
            with torch.no_grad():
                observed.module.to(inputs[0].device)(*inputs)
        parts = {"task": source.loss(model(*inputs), batch)}
        for path, (student_tap, teacher_tap) in zip(source.taps, taps, strict=True):
            parts[f"dfd {path}"] = config.dfd * dfd(student_tap.value, teacher_tap.value)
        return parts

    def freeze(step: int) -> None:
        if step >= config.freeze * config.steps:
            quantized.freeze()

    optimizer = torch.optim.Adam(groups(quantized, config.lr), fused=True)
    fit(quantized.module, optimizer, losses, source.batches,
        steps=config.steps, warmup=0.0, folder=folder, tick=tick, at_step=freeze)  # fmt: skip
    save_quantized(net, quantized, folder)


def groups(quantized: Quantized, lr: float) -> list[dict[str, Any]]:
    """Adam's groups: what is trained, exponents of power-of-two steps apart at their own rate."""
    quantizers = [*quantized.activations.values(), *(layer.quantizer for layer in quantized.weighted.values())]
    steps = {q.log_scale for q in quantizers if q.grid.power_of_two}
    trained = [p for p in quantized.module.parameters() if p.requires_grad]
    found = [
        {"params": [p for p in trained if p not in steps], "lr": lr},
        {"params": [p for p in trained if p in steps], "lr": max(lr, EXPONENTS)},
    ]
    return [group for group in found if group["params"]]


def calibration_batches(source: Source, config: Quantize) -> list[tuple[Tensor, ...]]:
    """The first training batches; QAT's own, so nothing is seen that training does not see."""
    return [source.inputs(source.batches(step)) for step in range(config.calibration.batches)]


def save_quantized(net: nn.Module, quantized: Quantized, folder: Path) -> None:
    """Trained weights under the eager net's names, and the quantizers' state by key."""
    net.load_state_dict(net.state_dict() | quantized.weights())
    save_weights(net, folder)
    write_atomic(folder / QUANTIZERS, save(quantized.state()))


def load_quantizers(folder: Path) -> dict[str, Tensor]:
    """The state that `save_quantized` wrote. Raises RequestError when the file is damaged."""
    try:
        return load_file(folder / QUANTIZERS)
    except Exception as error:  # safetensors and the file system each raise their own
        reason = str(error).splitlines()[0]
        raise RequestError(f"`{folder / QUANTIZERS}` is damaged: {reason}", f"delete `{folder}`, run again") from None
