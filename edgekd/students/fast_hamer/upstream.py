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
from edgekd.schema.load import parse
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


class _Setting:
    """Stands for each object of settings: whatever it is made with, it becomes an empty dict."""

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
    """HaMeR of a checkpoint file, in eval mode; nothing in it is executed. Raises MissingError or RequestError."""
    return from_hamer(_read(path), str(path))


def load_student(path: Path) -> HandNet:
    """A student of Fast-HaMeR of its checkpoint file, in training form and eval mode. Raises as `load_hamer` does."""
    return from_student(_read(path), str(path))


def begin(net: HandNet, path: Path) -> None:
    """Take over a checkpoint's weights (ours): a student's, or of HaMeR those of the decoder, see `copy_head`.

    Raises as `load_hamer` does, and RequestError where the net has another backbone or a decoder of other sizes.
    """
    state = _read(path)
    if isinstance(state, dict) and _EMBEDDED in state:
        copy_head(from_hamer(state, str(path)).mano_head, net.mano_head)
        return
    found = from_student(state, str(path))
    if found.config.backbone != net.config.backbone:
        hint = f'set `model.backbone = "{found.config.backbone}"`, or leave `model.start` out'
        raise RequestError(f"`{path}` is a student with `{found.config.backbone}`", hint)
    if found.config.head != net.config.head:
        raise RequestError(f"the decoder of `{path}` has other sizes", f"set `model.head` to {found.config.head}")
    net.backbone.load_state_dict(found.backbone.state_dict())
    net.mano_head.load_state_dict(found.mano_head.state_dict())


def _read(path: Path) -> Any:
    with safe_globals([(_Setting, name) for name in _SETTINGS]):
        held = read_state(path)
    return held.get("state_dict", held) if isinstance(held, dict) else held


def from_hamer(state: Any, name: str = "the state", heads: int = VitConfig().heads) -> HamerNet:
    """HaMeR of the authors' state dict; sizes are those of its tensors, but for the transformer's heads.

    Raises RequestError where it is another net's, ProblemsError where tensors are missing, unknown or misshapen.
    """
    state = _ours(state, name, _SIZES | {_EMBEDDED: 3})
    width = state[_EMBEDDED].shape[-1]
    if width % heads:
        raise RequestError(f"`{_EMBEDDED}` of `{name}` is {width} wide, no multiple of {heads} heads", _HINT)
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


_HINT = "name a checkpoint of HaMeR or Fast-HaMeR"
_EMBEDDED = "backbone.pos_embed"
_LAYERS = "mano_head.transformer.transformer.layers."
_QUESTION, _HIDDEN = f"{_LAYERS}0.1.fn.to_q.weight", f"{_LAYERS}0.2.fn.net.0.weight"
_SIZES = {_QUESTION: 2, _HIDDEN: 2}
"""Tensors that tell the decoder's sizes, and how many dimensions they have."""


def _ours(state: Any, name: str, needed: Mapping[str, int]) -> State:
    """The tensors of a state dict but those that no net here has."""
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise RequestError(f"`{name}` is no state dict", _HINT)
    for key, dimensions in needed.items():
        if key not in state:
            raise RequestError(f"`{name}` lacks `{key}`", _HINT)
        if state[key].dim() != dimensions:
            raise RequestError(
                f"`{key}` of `{name}` is {list(state[key].shape)}, not of {dimensions} dimensions", _HINT
            )
    return {str(key): value for key, value in state.items() if not str(key).startswith(tuple(LEFT_OUT))}


def _count(state: State, pattern: str) -> int:
    """How many numbers stand in such names."""
    return len({found[1] for key in state if (found := re.match(pattern, key))})


def _head(state: State) -> HeadConfig:
    """The decoder's sizes."""
    inner, width = state[_QUESTION].shape
    depth, hidden = _count(state, re.escape(_LAYERS) + r"(\d+)"), len(state[_HIDDEN])
    sizes = {"depth": depth, "width": width, "heads": HEADS, "head_width": inner // HEADS, "hidden": hidden}
    return parse(HeadConfig, sizes, "the decoder")


def _filled(net: Net, state: State, rules: tuple[Rule, ...], name: str) -> Net:
    """The net, so far without weights, with those of the state, in eval mode."""
    wanted = net.state_dict()
    places = {key: theirs(key, rules) for key in wanted}
    names = {place for place, _ in places.values()}
    problems = [
        *_differing(f"`{name}` lacks", names - state.keys()),
        *_differing(f"`{name}` has an unknown", state.keys() - names),
    ]
    found = {key: _part(state[place], third, wanted[key]) for key, (place, third) in places.items() if place in state}
    odd = {places[key][0]: key for key, tensor in found.items() if tensor.shape != wanted[key].shape}
    for place, key in odd.items():
        shapes = f"{list(state[place].shape)}, and {list(wanted[key].shape)} is what becomes of it"
        problems.append(Problem("", f"`{place}` of `{name}` is {shapes}", _HINT))
    if problems:
        raise ProblemsError(problems)
    net.load_state_dict(found, assign=True)
    return net.eval()


def _differing(what: str, keys: Collection[str]) -> list[Problem]:
    """The first few, and how many there are."""
    first = ", ".join(f"`{key}`" for key in sorted(keys)[:3])
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return [Problem("", f"{what} {first}{more}", _HINT)] if keys else []


def _part(tensor: Tensor, third: int | None, wanted: Tensor) -> Tensor:
    """Their tensor as ours: a third of it, or (C, 1, 1) as (C,)."""
    if third is not None and tensor.dim() and len(tensor) % 3 == 0:
        tensor = tensor.chunk(3)[third].clone()
    elif tensor.shape == (*wanted.shape, 1, 1):
        tensor = tensor.flatten()
    return tensor.to(wanted.dtype)


@torch.no_grad()
def copy_head(teacher: ManoHead, student: ManoHead) -> None:
    """Begin with the teacher's decoder (ours): all of it but what reads the map, whose channels differ.

    Raises RequestError where the two have other sizes.
    """
    if teacher.config != student.config:
        raise RequestError(
            "the teacher's decoder has other sizes than the student's", "leave `model.head` or `model.start` out"
        )
    mine = student.state_dict()
    taken = {key: tensor for key, tensor in teacher.state_dict().items() if "to_kv" not in key}
    student.load_state_dict(mine | taken)
