"""Padding: SAME and VALID are all that kernels know; other pads are an operator before them."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekd.backends.litert.writer import B, Stored, Writer
from edgekd.graph.golden.windows import Window
from edgekd.graph.model import Array

SAME, VALID = schema.Padding.SAME, schema.Padding.VALID
LOWEST = -np.inf
"""Fill that never is a maximum."""


def same_pads(size: tuple[int, ...], slide: Window) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of SAME: the output is `ceil(input / stride)` wide (TFLite ComputePaddingWithOffset)."""
    total = [max(0, (-(-size[i] // s) - 1) * s + slide.extent(i) - size[i]) for i, s in enumerate(slide.strides)]
    top, left = (t // 2 for t in total)
    return top, left, total[0] - top, total[1] - left


def resolve(w: Writer, x: Stored, slide: Window, fill: float = 0.0) -> tuple[Stored, int]:
    """What a sliding kernel reads, padded where SAME would pad otherwise, and the padding it is told."""
    if not any(slide.pads):
        return x, VALID
    if slide.pads == same_pads(x.shape[2:], slide):
        return x, SAME
    top, left, bottom, right = slide.pads
    shape = (*x.shape[:2], x.shape[2] + top + bottom, x.shape[3] + left + right)
    made = w.new(f"{w.file.name(x.index)}:padded", shape, x.layout, x.grid)
    write_pad(w, x, made, np.array([(0, 0), (0, 0), (top, bottom), (left, right)]), fill)
    return made, VALID


def write_pad(w: Writer, x: Stored, made: Stored, ends: Array, fill: float = 0.0) -> None:
    """PAD with zeros, or PADV2 with a value; `ends` (rank, 2) are before and behind each axis of the graph."""
    inputs, version = [x.index, w.ints("paddings", ends[list(made.layout)])], 2 if x.grid else 1
    if x.grid is not None:
        code = np.clip(np.rint(fill / float(x.grid.scale)) + x.grid.zero, -128, 127)
        fill = 0.0 if code == x.grid.zero else fill
    if fill == 0.0:
        w.file.operator(B.PAD, version, inputs, [made.index], schema.PadOptionsT())
        return
    value = np.array(fill, np.float32) if x.grid is None else code.astype(np.int8)
    constant = w.file.tensor("fill", (), x.dtype, x.grid, value)
    w.file.operator(B.PADV2, version, [*inputs, constant], [made.index], schema.PadV2OptionsT())
