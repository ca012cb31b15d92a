"""From raw samples to a graph's inputs, from its outputs to answers and words, all by the io record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import RequestError
from edgekd.graph.images import decode_picture, encode_picture
from edgekd.graph.masks import is_mask
from edgekd.graph.model import Array
from edgekd.graph.resize import blend, tiles, undo
from edgekd.schema.io import ClassesOutput, ImageInput, ImageOutput, Input, IoRecord, MaskOutput, Output

SHOWN = 4
"""Numbers of a tensor that are written out."""
NUMBERS = "biuf"
"""Kinds of arrays of numbers."""


Run = Callable[[dict[str, Array]], dict[str, Array]]
"""One inference: the graph's outputs from its inputs, by name."""


class Coder(Protocol):
    """What a task has of the way from a raw sample to an answer."""

    def encode(self, raw: Any, io: IoRecord) -> dict[str, Array]:
        """The graph's inputs."""

    def decode(self, outputs: dict[str, Array], io: IoRecord) -> Any:
        """The answer, pictures in it of the size that the graph gives."""


def answer(coder: Coder, io: IoRecord, run: Run, raw: Any) -> Any:
    """The whole way of one raw sample: seen, encoded, run, decoded, laid back."""
    return join([coder.decode(run(coder.encode(view, io)), io) for view in views(raw, io)], raw, io)


def views(raw: Any, io: IoRecord) -> list[Any]:
    """What the network sees of a raw sample, one inference each: its tiles where the rule is `tile`, else itself."""
    spec = io.inputs[0]
    if not (isinstance(spec, ImageInput) and spec.resize == "tile"):
        return [raw]
    return [*tiles(raw_parts(raw, io)[spec.name], spec.shape[2:])]


def join(answers: Sequence[Any], raw: Any, io: IoRecord) -> Any:
    """One answer from those to the `views` of a raw sample; its pictures lie on the first raw picture again.

    Raises RequestError where a task decodes tiles to something else than pictures of their size.
    """
    spec = next((spec for spec in io.inputs if isinstance(spec, ImageInput)), None)
    parts = [by_output(part, io) for part in answers]
    if spec is None or spec.resize == "none" or any(part is None for part in parts):
        return answers[0]
    size = raw_parts(raw, io)[spec.name].shape[:2]
    out = dict(answers[0] if len(io.outputs) > 1 else parts[0] or {})  # with what a task decodes beside
    for name in (s.name for s in io.outputs if isinstance(s, ImageOutput)):
        seen = [part[name] for part in parts if part]
        if not all(map(is_picture, seen)) and spec.resize == "tile":
            raise RequestError(f"`{name}` is decoded to what is no picture, so its tiles cannot be blended")
        if spec.resize == "tile" and (given := seen[0].shape[:2]) != spec.shape[2:]:
            raise RequestError(f"`{name}` has {given} pixels, so tiles of {spec.shape[2:]} cannot be blended")
        if is_picture(seen[0]):
            out[name] = blend(seen, size) if spec.resize == "tile" else undo(seen[0], size, spec)
    return out if len(io.outputs) > 1 else out[io.outputs[0].name]


def encode(raw: Any, io: IoRecord) -> dict[str, NDArray[np.float32]]:
    """The graph's inputs from one raw sample, or from one by each input's name.

    A picture is (H, W, 3) or (H, W) uint8; a tensor an array without its batch axis.
    """
    parts = raw_parts(raw, io)
    return {spec.name: _encode_input(parts[spec.name], spec) for spec in io.inputs}


def _encode_input(part: Array, spec: Input) -> NDArray[np.float32]:
    return encode_picture(part, spec) if isinstance(spec, ImageInput) else np.asarray(part, np.float32)[None]


def raw_parts(raw: Any, io: IoRecord) -> dict[str, Array]:
    """A raw sample by input, in the record's order."""
    return {spec.name: raw[spec.name] if isinstance(raw, Mapping) else raw for spec in io.inputs}


def pictures(raw: Any, io: IoRecord) -> dict[str, Array]:
    """The pictures in a raw sample by input."""
    parts = raw_parts(raw, io)
    return {spec.name: parts[spec.name] for spec in io.inputs if isinstance(spec, ImageInput)}


def decode(outputs: Mapping[str, Array], io: IoRecord) -> Any:
    """The answer: a picture, a vector (C,) of classes, or a tensor; of several outputs, one by each name."""
    answers = {spec.name: decode_output(outputs[spec.name], spec) for spec in io.outputs}
    return answers if len(answers) > 1 else answers[io.outputs[0].name]


def decode_output(output: Array, spec: Output) -> Array:
    """One output without its batch axis, as the record says it is read; of a mask (H, W), inside where above zero."""
    if isinstance(spec, ImageOutput):
        return decode_picture(output, spec)
    values: Array = np.asarray(output, np.float32)
    values = values[0] if values.ndim else values  # a single number has no batch axis
    if isinstance(spec, MaskOutput):
        inside: Array = values[0] - np.float32(spec.threshold)
        return inside
    return activate(values.ravel(), spec.activation) if isinstance(spec, ClassesOutput) else values


def activate(x: Array, activation: str) -> Array:
    """Softmax or sigmoid of a vector, or the vector itself; no overflow for any finite input."""
    if activation == "softmax":
        e = np.exp(x - x.max())
        x = e / e.sum()
    y: Array = 0.5 * (1.0 + np.tanh(0.5 * x)) if activation == "sigmoid" else x
    return y


def ranked(answer: Array, spec: ClassesOutput) -> list[tuple[str, float]]:
    """Labels with their values, largest first."""
    order = np.argsort(-answer, kind="stable")
    return [(spec.labels[i], float(answer[i])) for i in order]


def by_output(answer: Any, io: IoRecord) -> dict[str, Any] | None:
    """An answer's parts by output; None where a task's own `decode` gives another form than the record's."""
    if len(io.outputs) == 1:
        return {io.outputs[0].name: answer}
    names = [spec.name for spec in io.outputs]
    return {name: answer[name] for name in names} if isinstance(answer, Mapping) and {*names} <= {*answer} else None


def is_picture(answer: Any) -> bool:
    """(H, W, 3) or grey (H, W) uint8."""
    return (
        isinstance(answer, np.ndarray) and answer.dtype == np.uint8 and (answer.ndim == 2 or answer.shape[2:] == (3,))
    )


def is_ranking(answer: Any, spec: Output) -> bool:
    """A number for each of the output's labels."""
    shape = (len(spec.labels),) if isinstance(spec, ClassesOutput) else None
    return isinstance(answer, np.ndarray) and answer.shape == shape and answer.dtype.kind in NUMBERS


def tell(answer: Any, io: IoRecord) -> str:
    """An answer in a few words, whatever its form."""
    parts = by_output(answer, io)
    if parts is None:
        return _words(answer)
    told = [(spec.name, tell_output(parts[spec.name], spec)) for spec in io.outputs]
    return told[0][1] if len(told) == 1 else "; ".join(f"{name}: {words}" for name, words in told)


def tell_truth(truth: Any, io: IoRecord) -> str:
    """A sample's truth in a few words; an integer is a class where the first output is classes."""
    spec = io.outputs[0]
    if isinstance(truth, tuple | list):
        return "; ".join(tell_truth(part, io) for part in truth)
    if isinstance(truth, int | np.integer) and isinstance(spec, ClassesOutput) and 0 <= truth < len(spec.labels):
        return spec.labels[int(truth)]
    return _words(truth)


def tell_output(answer: Any, spec: Output) -> str:
    """One output's answer in a few words."""
    if is_mask(answer, spec):
        return f"{(answer > 0).mean():.1%} inside"
    if not isinstance(spec, ClassesOutput) or not is_ranking(answer, spec):
        return _words(answer)
    best = ranked(answer, spec)
    if spec.activation == "none":
        return f"{best[0][0]} {best[0][1]:.3g}"
    if spec.activation == "softmax":
        best = best[:1]
    return ", ".join(f"{label} {value:.0%}" for label, value in best if value >= 0.5 or len(best) == 1) or "none"


def _words(value: Any) -> str:
    """Up to four numbers, else type and shape; anything else as Python writes it."""
    values = np.asarray(value) if isinstance(value, np.ndarray | np.number | int | float) else None
    if values is None or values.dtype.kind not in NUMBERS:
        return str(value)
    if values.size <= SHOWN:
        return ", ".join(f"{float(v):.4g}" for v in values.ravel())
    return f"{values.dtype} {' x '.join(map(str, values.shape))}"
