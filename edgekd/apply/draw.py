"""Answers drawn on the picture they are about, by the io record. Pillow's own font."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edgekd.graph.answers import by_output, is_picture, is_ranking, pictures, ranked, tell, tell_output
from edgekd.graph.resize import Picture, scale
from edgekd.schema.io import ClassesOutput, ImageOutput, IoRecord

LABELS = 3
"""Labels of a ranking that are drawn."""
LEAST = 192
"""Pictures with a longer side below this are enlarged so far that text can be read."""


def annotate(raw: Any, answer: Any, io: IoRecord) -> Picture:
    """The first picture of an answer, else the first of its input, with the rest of the answer written on it."""
    parts = by_output(answer, io)
    if parts is None:
        return write(next(iter(pictures(raw, io).values())), tell(answer, io).splitlines())
    shown = next((s.name for s in io.outputs if isinstance(s, ImageOutput) and is_picture(parts[s.name])), None)
    lines = [line for s in io.outputs if s.name != shown for line in _lines(parts[s.name], s)]
    picture = next(iter(pictures(raw, io).values())) if shown is None else parts[shown]
    return write(picture, lines) if lines else picture


def _lines(answer: Any, spec: Any) -> list[str]:
    """The likeliest labels with their values, anything else in a few words."""
    if isinstance(spec, ClassesOutput) and is_ranking(answer, spec):
        form = "{:.3g}" if spec.activation == "none" else "{:.0%}"
        return [f"{label} {form.format(value)}" for label, value in ranked(answer, spec)[:LABELS]]
    return [f"{spec.name}: {tell_output(answer, spec)}"]


def write(picture: Picture, lines: Sequence[str]) -> Picture:
    """Lines of text in the upper left corner of a picture, white on a darkened ground."""
    whole = max(1, -(-LEAST // max(picture.shape[:2])))
    large = scale(picture, (picture.shape[0] * whole, picture.shape[1] * whole), "nearest")
    image = Image.fromarray(large).convert("RGB")
    pen, text = ImageDraw.Draw(image, "RGBA"), "\n".join(lines)
    font = _font(pen, text, *image.size)
    box = pen.multiline_textbbox((4, 3), text, font=font)
    pen.rectangle((0, 0, box[2] + 4, box[3] + 4), fill=(0, 0, 0, 160))
    pen.multiline_text((4, 3), text, font=font, fill=(255, 255, 255, 255))
    return np.asarray(image)


def _font(pen: ImageDraw.ImageDraw, text: str, width: int, height: int) -> Any:
    """A line is a sixteenth of the height, smaller where the text would not go in the width; 8 pixels at least."""
    size = max(12.0, height / 16)
    needed = pen.multiline_textbbox((0, 0), text, font=ImageFont.load_default(size))[2]
    return ImageFont.load_default(max(8.0, min(size, size * (width - 8) / max(1, needed))))
