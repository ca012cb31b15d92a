"""Answers drawn on the picture they are about, by the io record. Pillow's own font."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edgekd.graph.answers import by_output, is_picture, is_ranking, pictures, ranked, raw_parts, tell, tell_output
from edgekd.graph.masks import (
    COLORS,
    Mask,
    coloured,
    enlarged,
    framed,
    is_mask,
    on_picture,
    outlined,
    times,
    tinted,
)
from edgekd.graph.resize import Picture
from edgekd.graph.roi import Box
from edgekd.schema.io import ClassesOutput, ImageInput, ImageOutput, IoRecord

LABELS = 3
"""Labels of a ranking that are drawn."""
MARKED = 448
"""Pictures with boxes and a longer side below this are enlarged: what the boxes hold is small."""


@dataclass(frozen=True)
class Mark:
    """What is drawn about a box: the mask of what it holds, (H, W) of the picture, and words."""

    box: Box
    mask: Mask | None
    lines: Sequence[str]


def annotate(raw: Any, answer: Any, io: IoRecord) -> Picture:
    """The first picture of an answer, else the first of its input under the answer's masks, with the rest written on
    it."""
    parts = by_output(answer, io)
    if parts is None:
        return write(next(iter(pictures(raw, io).values())), tell(answer, io).splitlines())
    shown = next((s.name for s in io.outputs if isinstance(s, ImageOutput) and is_picture(parts[s.name])), None)
    masks = masks_of(raw, answer, io)
    lines = [line for s in io.outputs if s.name not in (shown, *masks) for line in lines_of(parts[s.name], s)]
    picture = next(iter(pictures(raw, io).values())) if shown is None else parts[shown]
    painted = paint(picture, [*masks.values()]) if masks and shown is None else picture
    return write(painted, lines) if lines else painted


def masks_of(raw: Any, answer: Any, io: IoRecord) -> dict[str, Mask]:
    """The masks of an answer on the first picture of its input, by output."""
    parts, spec = by_output(answer, io) or {}, next((s for s in io.inputs if isinstance(s, ImageInput)), None)
    if spec is None:
        return {}
    size = raw_parts(raw, io)[spec.name].shape[:2]
    named = [s.name for s in io.outputs if is_mask(parts.get(s.name), s)]
    return {name: on_picture(parts[name], size, spec) for name in named}


def paint(picture: Picture, masks: Sequence[Mask]) -> Picture:
    """A picture in RGB, enlarged where it is small, tinted and outlined by masks, each in its colour."""
    out = enlarged(coloured(picture))
    for color, mask in zip(cycle(COLORS), map(enlarged, masks)):
        out = outlined(tinted(out, mask, color), mask, color)
    return out


def mark(picture: Picture, marks: Sequence[Mark]) -> Picture:
    """A picture with boxes, their masks and words, each box in its colour, numbered where there are several."""
    out, n = enlarged(coloured(picture), MARKED), times(picture.shape, MARKED)
    for i, (color, m) in enumerate(zip(cycle(COLORS), marks)):
        if m.mask is not None:
            large = enlarged(m.mask, MARKED)
            out = outlined(tinted(out, large, color), large, color)
        out = framed(out, m.box, color, n)
        words = [str(i + 1)] * (len(marks) > 1) + [*m.lines]
        out = _written(out, words, (n * m.box[0], n * m.box[1]), above=True) if words else out
    return out


def lines_of(answer: Any, spec: Any) -> list[str]:
    """The likeliest labels with their values, anything else in a few words."""
    if isinstance(spec, ClassesOutput) and is_ranking(answer, spec):
        form = "{:.3g}" if spec.activation == "none" else "{:.0%}"
        return [f"{label} {form.format(value)}" for label, value in ranked(answer, spec)[:LABELS]]
    return [f"{spec.name}: {tell_output(answer, spec)}"]


def write(picture: Picture, lines: Sequence[str]) -> Picture:
    """Lines of text in the upper left corner of a picture, white on a darkened ground."""
    return _written(enlarged(coloured(picture)), lines, (0, 0))


def _written(picture: Picture, lines: Sequence[str], at: tuple[float, float], above: bool = False) -> Picture:
    """Text below or above a corner (x, y), moved inside where it would leave the picture."""
    image, text = Image.fromarray(picture), "\n".join(lines)
    pen = ImageDraw.Draw(image, "RGBA")
    font = _font(pen, text, *image.size)
    width, height = pen.multiline_textbbox((8, 7), text, font=font)[2:]
    x = max(0, min(at[0], image.width - width))
    y = max(0, min(at[1] - height * above, image.height - height))
    box = pen.multiline_textbbox((x + 4, y + 3), text, font=font)
    pen.rectangle((x, y, box[2] + 4, box[3] + 4), fill=(0, 0, 0, 160))
    pen.multiline_text((x + 4, y + 3), text, font=font, fill=(255, 255, 255, 255))
    return np.asarray(image)


def _font(pen: ImageDraw.ImageDraw, text: str, width: int, height: int) -> Any:
    """A line is a sixteenth of the height, smaller where the text would not go in the width; 8 pixels at least."""
    size = max(12.0, height / 16)
    needed = pen.multiline_textbbox((0, 0), text, font=ImageFont.load_default(size))[2]
    return ImageFont.load_default(max(8.0, min(size, size * (width - 8) / max(1, needed))))
