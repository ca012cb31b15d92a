"""One training loop for every phase: resumable, repeatable, on whatever device Fabric finds."""

from __future__ import annotations

import io
import json
import math
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from edgekd.errors import GateFailedError, RequestError
from edgekd.store import write_atomic

Tick = Callable[[int, int, str], None]
Losses = dict[str, Tensor]
Precision = Literal["float32", "bf16"]
SECONDS_BETWEEN_CHECKPOINTS = 2.0


def cosine(step: int, steps: int, warmup: float) -> float:
    """Factor of the learning rate at `step`: linear rise over `warmup * steps`, then cosine to zero."""
    rise = min(1.0, (step + 1) / max(1.0, warmup * steps))
    return rise * 0.5 * (1.0 + math.cos(math.pi * step / steps))


def fit(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    losses: Callable[[nn.Module, dict[str, Tensor]], Losses],
    batches: Callable[[int], dict[str, Tensor]],
    *,
    steps: int,
    warmup: float,
    folder: Path,
    tick: Tick,
    at_step: Callable[[int], None] = lambda step: None,
    precision: Precision = "float32",
) -> None:
    """Train `net` in place for `steps`; the sum of `losses` is minimised.

    Batches, learning rate and `at_step` depend on the step alone, so that a run continued from the checkpoint in
    `folder` ends with the weights of an uninterrupted one. Writes `curve.json` (every loss, every step).
    Raises GateFailedError when a loss stops being finite.
    """
    fabric = Fabric(accelerator="auto", devices=1, precision="bf16-mixed" if precision == "bf16" else "32-true")
    base = [group["lr"] for group in optimizer.param_groups]
    model, optimizer = fabric.setup(net, optimizer)
    done, curve = _resume(folder / "checkpoint.pt", net, optimizer, fabric.device)
    saved, seed = time.monotonic(), torch.initial_seed()
    net.train()
    for step in range(done, steps):
        torch.manual_seed(seed + step)  # dropout too depends on the step alone
        at_step(step)
        for group, lr in zip(optimizer.param_groups, base, strict=True):
            group["lr"] = lr * cosine(step, steps, warmup)
        batch = {name: fabric.to_device(tensor) for name, tensor in batches(step).items()}
        parts = losses(model, batch)
        total = torch.stack(list(parts.values())).sum()
        optimizer.zero_grad()
        fabric.backward(total)
        optimizer.step()
        values = {name: float(value.detach()) for name, value in parts.items()}
        for name, value in values.items():
            curve.setdefault(name, []).append(value)
        if not math.isfinite(sum(values.values())):
            raise GateFailedError(f"training diverged: the losses at step {step} are {values}", "lower the `lr`")
        if time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS:
            _save(folder / "checkpoint.pt", step + 1, net, optimizer, curve)
            saved = time.monotonic()
        tick(step + 1, steps, "  ".join(f"{name} {value:.4f}" for name, value in values.items()))
    net.cpu()
    write_atomic(folder / "curve.json", json.dumps(curve).encode())


def _save(path: Path, step: int, net: nn.Module, optimizer: Any, curve: dict[str, list[float]]) -> None:
    buffer = io.BytesIO()
    state = {"step": step, "net": net.state_dict(), "optimizer": optimizer.state_dict(), "curve": curve}
    torch.save(state, buffer)
    write_atomic(path, buffer.getvalue())


def _resume(path: Path, net: nn.Module, optimizer: Any, device: torch.device) -> tuple[int, dict[str, list[float]]]:
    if not path.exists():
        return 0, {}
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        return int(state["step"]), state["curve"]
    except (RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError):
        raise RequestError(f"checkpoint `{path}` is damaged", f"delete `{path.parent}`; its step starts anew") from None
