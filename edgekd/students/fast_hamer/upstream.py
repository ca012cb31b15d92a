"""Checkpoints of the authors' code: HaMeR's, and Fast-HaMeR's students, which hold their teacher too."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.serialization import safe_globals

from edgekd.errors import Problem, ProblemsError, RequestError
from edgekd.students.fast_hamer.config import HeadConfig, ModelConfig
from edgekd.students.fast_hamer.head import ManoHead
from edgekd.students.fast_hamer.names import STUDENTS, VIT, Rule, theirs
from edgekd.students.fast_hamer.network import HandNet
from edgekd.students.fast_hamer.teachers.hamer_net import HamerNet, VitConfig
from edgekd.students.picosam3.upstream import read_state

Net = TypeVar("Net", bound=nn.Module)
State = Mapping[str, Tensor]
LEFT_OUT = {
    "discriminator.": "judges poses in training",
    "mano.": "MANO's arrays, which its licence keeps to research",
    "initialized": "a mark of training",
    "teacher.": "the whole of HaMeR, in a student's checkpoint",
    "channel_projection.": "the teacher's map to the student's channels, in training",
}
"""Beginnings of names of tensors that no net here has."""
HEADS = 8
"""Of the decoder's attention, in every published setting: no tensor tells it."""


class _Setting(OrderedDict[str, Any]):
    """Stands for a settings object in a checkpoint: it becomes a plain dict, whatever it is made with, and is dropped."""

    def __new__(cls, *_: Any) -> Any:
        return OrderedDict()


_SETTINGS = (
    "yacs.config.CfgNode", "typing.Any", "collections.defaultdict", "pathlib.PosixPath",
    *(f"builtins.{name}" for name in ("dict", "list", "int", "float", "str", "bool")),
    *(f"omegaconf.{name}" for name in (
        "dictconfig.DictConfig", "listconfig.ListConfig", "base.ContainerMetadata", "base.Metadata",
        *(f"nodes.{kind}Node" for kind in ("Any", "String", "Integer", "Float", "Boolean", "Enum", "Path", "Bytes")),
    )),
)  # fmt: skip
"""Classes of the settings that Lightning keeps beside the tensors. None of them is imported or called."""


def load_hamer(path: Path) -> HamerNet:
    """HaMeR of its checkpoint file, in eval mode. Nothing in the file is executed. Raises MissingError, RequestError."""
    return from_hamer(_read(path), str(path))


def load_student(path: Path) -> HandNet:
    """A student of Fast-HaMeR of its checkpoint file, in training form and eval mode. Raises as `load_hamer` does."""
    return from_student(_read(path), str(path))


def _read(path: Path) -> Any:
    with safe_globals([(_Setting, name) for name in _SETTINGS]):
        held = read_state(path)
    return held.get("state_dict", held) if isinstance(held, dict) else held


def from_hamer(state: Any, name: str = "the state", heads: int = VitConfig().heads) -> HamerNet:
    """HaMeR of the authors' state dict; sizes are those of its tensors, but for the transformer's heads.

    Raises RequestError where it is another net's, ProblemsError where tensors are missing, unknown or misshapen.
    """
    state = _ours(state, name, ("backbone.pos_embed", *_SIZES))
    width = state["backbone.pos_embed"].shape[-1]
    with torch.device("meta"):
        net = HamerNet(VitConfig(width, _count(state, r"backbone\.blocks\.(\d+)"), heads), _head(state))
    return _filled(net, state, VIT, name)


def from_student(state: Any, name: str = "the state") -> HandNet:
    """A student of the authors' state dict; which backbone it has is told by its tensors. Raises as `from_hamer`."""
    state = _ours(state, name, _SIZES)
    known = [(backbone, rules) for backbone, (sign, rules) in STUDENTS.items() if sign in state]
    if not known:
        message = f"the backbone of `{name}` is none of " + ", ".join(f"`{backbone}`" for backbone in STUDENTS)
        raise RequestError(message, "other backbones of Fast-HaMeR are not known here")
    backbone, rules = known[-1]
    with torch.device("meta"):
        net = HandNet(ModelConfig(backbone=backbone, head=_head(state)))
    return _filled(net, state, rules, name)


_LAYER = "mano_head.transformer.transformer.layers."
_SIZES = (
    "mano_head.transformer.pos_embedding",
    f"{_LAYER}0.1.fn.to_q.weight",
    f"{_LAYER}0.2.fn.net.0.weight",
)
"""Tensors that tell the decoder's sizes."""


def _ours(state: Any, name: str, needed: Collection[str]) -> State:
    """The tensors of a state dict that a net here has, in float32."""
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise RequestError(f"`{name}` is no state dict", "name a checkpoint of HaMeR or Fast-HaMeR")
    if lacking := [key for key in needed if key not in state or state[key].dim() < 2]:
        raise RequestError(f"`{name}` lacks `{lacking[0]}`", "name a checkpoint of HaMeR or Fast-HaMeR")
    kept = {str(key): value for key, value in state.items() if not str(key).startswith(tuple(LEFT_OUT))}
    return {key: value.float() if value.is_floating_point() else value for key, value in kept.items()}


def _count(state: State, pattern: str) -> int:
    """How many of a kind there are, by the numbers in their names."""
    return 1 + max((int(found[1]) for key in state if (found := re.match(pattern, key))), default=0)


def _head(state: State) -> HeadConfig:
    """The decoder's sizes."""
    question, hidden = state[f"{_LAYER}0.1.fn.to_q.weight"], state[f"{_LAYER}0.2.fn.net.0.weight"]
    depth = _count(state, re.escape(_LAYER) + r"(\d+)")
    inner, width = question.shape
    return HeadConfig(depth=depth, width=width, heads=HEADS, head_width=inner // HEADS, hidden=len(hidden))


def _filled(net: Net, state: State, rules: tuple[Rule, ...], name: str) -> Net:
    """The net, without weights so far, with those of the state, in eval mode."""
    wanted = net.state_dict()
    places = {key: theirs(key, rules) for key in wanted}
    names = {place for place, _ in places.values()}
    problems = [
        *_differing(f"`{name}` lacks", names - state.keys()),
        *_differing(f"`{name}` has an unknown", state.keys() - names),
    ]
    found = {key: _part(state[place], third, wanted[key]) for key, (place, third) in places.items() if place in state}
    for key, tensor in found.items():
        if tensor.shape != wanted[key].shape:
            place = places[key][0]
            message = f"`{place}` of `{name}` is {list(state[place].shape)}, where {list(wanted[key].shape)} is known"
            problems.append(Problem("", message))
    if problems:
        raise ProblemsError(problems)
    net.load_state_dict(found, assign=True)
    return net.requires_grad_(True).eval()


def _differing(what: str, keys: Collection[str]) -> list[Problem]:
    return [Problem("", f"{what} `{key}`", "it is not a checkpoint of this network") for key in sorted(keys)]


def _part(tensor: Tensor, third: int | None, wanted: Tensor) -> Tensor:
    """Their tensor as ours: a third of it, or (C, 1, 1) as (C,)."""
    if third is not None and tensor.dim() and len(tensor) % 3 == 0:
        return tensor.chunk(3)[third].clone()
    return tensor.flatten() if tensor.shape == (*wanted.shape, 1, 1) else tensor


@torch.no_grad()
def copy_head(teacher: ManoHead, student: ManoHead) -> None:
    """Begin with the teacher's decoder (ours): all of it but what reads the map, whose channels differ.

    Raises RequestError where the two have other sizes.
    """
    if teacher.config != student.config:
        raise RequestError("the teacher's decoder has other sizes than the student's", "leave `model.head` out")
    mine = student.state_dict()
    taken = {key: tensor for key, tensor in teacher.state_dict().items() if "to_kv" not in key}
    student.load_state_dict(mine | taken)
