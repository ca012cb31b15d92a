"""Checkpoints of the authors' code: their names for this network's tensors, PicoSAM2's and PicoSAM3's."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgekd.errors import MissingError, RequestError
from edgekd.students.picosam3.network import ModelConfig, PicoSam3Net

_NECK_PAIR = {"0": "1", "1": "2", "3": "4", "4": "5"}
"""Places of the neck's second block, which lies flat in theirs."""
_RULES: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"encoder\.(\d)", lambda m: f"encoder_stage{int(m[1]) + 1}"),
    (r"down\.(\d)", lambda m: f"down{int(m[1]) + 1}"),
    (r"neck\.0", lambda m: "bottleneck.0"),
    (r"neck\.1\.(\d)", lambda m: f"bottleneck.{_NECK_PAIR[m[1]]}"),
    (r"decoder\.(\d)", lambda m: f"up{int(m[1]) + 1}.1"),
    (r"skip\.(\d)", lambda m: f"skip_conn{4 - int(m[1])}"),
    (r"gate\.mix", lambda m: "eca.conv1x1"),
)


def load_upstream(path: Path) -> PicoSam3Net:
    """The network of a checkpoint file, weights in it; a PicoSAM2 one has neither second neck, gate nor refining head.

    Nothing in the file is executed. Raises MissingError or RequestError.
    """
    return from_upstream(read_state(path), str(path))


def read_state(path: Path) -> Any:
    """What a checkpoint file of plain tensors holds. Raises MissingError or RequestError."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise MissingError(f"checkpoint `{path}` does not exist", "name a `.pt` file of the authors' code") from None
    except Exception:  # a file that is not whole makes the reader raise many kinds
        raise RequestError(f"`{path}` is no checkpoint of plain tensors", "save the network's `state_dict()`") from None


def from_upstream(state: Any, name: str = "the state") -> PicoSam3Net:
    """The network of the authors' state dict. Raises RequestError where a tensor is missing, unknown or misshapen."""
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise RequestError(f"`{name}` is no state dict", "save the network's `state_dict()`")
    older = "output_head.weight" in state
    net = PicoSam3Net(ModelConfig(gate="none", dilated_neck=False, refine=False) if older else ModelConfig())
    wanted = net.state_dict()
    places = {_theirs(key, "output_head" if older else "refine"): key for key in wanted}
    for kind, keys in (("lacks", places.keys() - state.keys()), ("has an unknown", state.keys() - places.keys())):
        if keys:
            first = min(map(str, keys))
            raise RequestError(f"`{name}` {kind} `{first}`", "it is not a checkpoint of PicoSAM2 or PicoSAM3")
    for theirs, ours in places.items():
        if state[theirs].shape != wanted[ours].shape:
            message = f"`{theirs}` of `{name}` is {list(state[theirs].shape)}, not {list(wanted[ours].shape)}"
            raise RequestError(message, "only the published widths are known")
    net.load_state_dict({ours: state[theirs] for theirs, ours in places.items()})
    return net


def _theirs(key: str, head: str) -> str:
    """The authors' name of our tensor; the older net's head is its last convolution alone."""
    for pattern, replace in _RULES:
        if match := re.match(pattern, key):
            return replace(match) + key[match.end() :]
    return re.sub(r"^head\.0" if head == "output_head" else r"^head", head, key)
