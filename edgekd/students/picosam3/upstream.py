"""Checkpoints of the authors' code: their names for this network's tensors, PicoSAM2's and PicoSAM3's."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch
from torch import Tensor

from edgekd.errors import MissingError, RequestError
from edgekd.students.picosam3.network import ModelConfig, PicoSam3Net

_NECK_PAIR = {"1": "0", "2": "1", "4": "3", "5": "4"}
"""Places of the second pair of the neck, which lies flat in theirs, in a block of ours."""
_RULES: tuple[tuple[str, Any], ...] = (
    (r"encoder_stage([1-4])\.", lambda m: f"encoder.{int(m[1]) - 1}."),
    (r"down([1-4])\.", lambda m: f"down.{int(m[1]) - 1}."),
    (r"bottleneck\.0\.", lambda m: "neck.0."),
    (r"bottleneck\.([1245])\.", lambda m: f"neck.1.{_NECK_PAIR[m[1]]}."),
    (r"up([1-4])\.1\.", lambda m: f"decoder.{int(m[1]) - 1}."),
    (r"skip_conn([1-4])\.", lambda m: f"skip.{4 - int(m[1])}."),
    (r"eca\.conv1x1\.", lambda m: "gate.mix."),
    (r"refine\.", lambda m: "head."),
    (r"output_head\.", lambda m: "head.0."),
)


def load_upstream(path: Path) -> PicoSam3Net:
    """The network of a checkpoint file, weights in it; a PicoSAM2 one has neither second neck, gate nor refining head.

    Nothing in the file is executed. Raises MissingError or RequestError.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise MissingError(f"checkpoint `{path}` does not exist", "name a `.pt` file of the authors' code") from None
    except (OSError, RuntimeError, EOFError, BadZipFile, pickle.UnpicklingError, KeyError, ValueError):
        raise RequestError(f"`{path}` is no checkpoint of plain tensors", "save the network's `state_dict()`") from None
    return from_upstream(state, str(path))


def from_upstream(state: Any, name: str = "the state") -> PicoSam3Net:
    """The network of the authors' state dict. Raises RequestError where a tensor is missing, unknown or misshapen."""
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise RequestError(f"`{name}` is no state dict", "save the network's `state_dict()`")
    renamed = {_ours(key, name): value for key, value in state.items()}
    older = any(key.startswith("output_head.") for key in state)
    net = PicoSam3Net(ModelConfig(gate="none", dilated_neck=False, refine=False) if older else ModelConfig())
    wanted = net.state_dict()
    for kind, keys in (("lacks", wanted.keys() - renamed.keys()), ("has an unknown", renamed.keys() - wanted.keys())):
        if keys:
            raise RequestError(f"`{name}` {kind} `{min(keys)}`", "it is not a checkpoint of PicoSAM2 or PicoSAM3")
    for key, value in renamed.items():
        if value.shape != wanted[key].shape:
            message = f"`{key}` of `{name}` is {list(value.shape)}, not {list(wanted[key].shape)}"
            raise RequestError(message, "only the published widths are known")
    net.load_state_dict(renamed)
    return net


def _ours(key: str, name: str) -> str:
    for pattern, replace in _RULES:
        if match := re.match(pattern, key):
            return str(replace(match)) + key[match.end() :]
    raise RequestError(f"`{name}` has an unknown `{key}`", "it is not a checkpoint of PicoSAM2 or PicoSAM3")
