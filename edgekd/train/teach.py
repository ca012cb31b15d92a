"""The float phases: train the teacher, and tune it on as a control."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from edgekd.errors import RequestError
from edgekd.store import write_atomic
from edgekd.train.loop import Precision, Tick, fit

Batches = Callable[[int], dict[str, Tensor]]
Loss = Callable[[nn.Module, dict[str, Tensor]], Tensor]
WEIGHTS = "weights.safetensors"
TRAINING = "training.safetensors"
"""The net in the form it was trained in, where it is deployed in another."""


def train_float(
    net: nn.Module,
    loss: Loss,
    batches: Batches,
    *,
    steps: int,
    lr: float,
    weight_decay: float,
    warmup: float,
    folder: Path,
    tick: Tick,
    precision: Precision = "float32",
    at_step: Callable[[int], None] = lambda step: None,
    fold: Callable[[nn.Module], nn.Module] | None = None,
) -> None:
    """Train a float net with AdamW and write its weights to `folder`: with `fold`, those of the net it gives."""
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=weight_decay, fused=True)
    fit(net, optimizer, lambda model, batch: {"task": loss(model, batch)}, batches,
        steps=steps, warmup=warmup, folder=folder, tick=tick, precision=precision, at_step=at_step)  # fmt: skip
    if fold is not None:
        trained, net = net, fold(net)
        write_atomic(folder / TRAINING, state_of(trained))
    save_weights(net, folder)


def save_weights(net: nn.Module, folder: Path) -> None:
    """The net's state as safetensors; the checkpoint that led there goes."""
    write_atomic(folder / WEIGHTS, state_of(net))
    (folder / "checkpoint.pt").unlink(missing_ok=True)


def state_of(net: nn.Module) -> bytes:
    """The net's state as a safetensors file."""
    return save({name: tensor.detach().clone().contiguous() for name, tensor in net.state_dict().items()})  # ties apart


def load_weights(net: nn.Module, folder: Path) -> nn.Module:
    """The net with the weights of a finished step. Raises RequestError when the file does not fit."""
    path = folder / WEIGHTS
    try:
        net.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError, OSError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise RequestError(f"checkpoint `{path}` is damaged: {reason}", f"delete `{folder}` and run again") from None
    return net
