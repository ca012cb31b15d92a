"""The stored form: what was trained, and the seeds of the rest; the same weights are made of it, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from edgekd.errors import MissingError, ProblemsError, RequestError
from edgekd.schema.load import parse
from edgekd.store import write_atomic
from edgekd.students.pqkd.config import ModelConfig
from edgekd.students.pqkd.mixing import direction
from edgekd.students.pqkd.network import (
    CompactNet,
    condition,
    deployed_net,
    dictionaries,
    folded,
    training_net,
)
from edgekd.students.pqkd.steering import numbers

DIRECTION = "direction"
"""Of the features: whole numbers, see `mixing.GRID`."""


def save_stored(net: CompactNet, config: ModelConfig, sizes: tuple[int, int], path: Path) -> None:
    """Bases, norms, head and the features' direction, with the settings; of `sizes` = (channels, classes)."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items() if keeps(net, name)}
    if net.photonic is not None:
        state[DIRECTION] = torch.from_numpy(direction(numbers(net.photonic.features)))
    about = {"model": config.model_dump(mode="json"), "sizes": sizes}
    write_atomic(path, save(state, {"edgekd": json.dumps(about)}))


def keeps(net: CompactNet, name: str) -> bool:
    """Whether an entry of the net's state cannot be made again from others."""
    return name not in (_mixings(net) if net.photonic is not None else ()) and not name.startswith("photonic.")


def _mixings(net: CompactNet) -> dict[str, Tensor]:
    """What mixes the bases, by its name in the net's state."""
    return {f"{name}.mixing": conv.mixing for name, conv in dictionaries(net).items()}


def load_stored(path: Path, form: str = "") -> CompactNet:
    """The deployed net behind a stored form, or another `form` of it (`dense`, `factorised`, `auto`).

    Raises MissingError or RequestError.
    """
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})["edgekd"])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        config = parse(ModelConfig, about["model"] | ({"form": form} if form else {}), "model")
        channels, classes = about["sizes"]
        return _rebuilt(config, channels, classes, state).eval()
    except FileNotFoundError:
        raise MissingError(f"`{path}` does not exist", "a finished `teach` step holds one") from None
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError, OSError, ProblemsError) as error:
        raise RequestError(f"`{path}` is no stored form: {str(error).splitlines()[0]}", "make it again") from None


def _rebuilt(config: ModelConfig, channels: int, classes: int, state: dict[str, Tensor]) -> CompactNet:
    net = training_net(config, channels, classes)
    towards = state.pop(DIRECTION, None)
    if towards is not None:
        condition(net, towards.numpy(), config.mixing)
    net.load_state_dict((_mixings(net) if towards is not None else {}) | state)
    return folded(net, deployed_net(config, channels, classes))
