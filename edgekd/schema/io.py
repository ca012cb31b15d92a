"""The io record: how raw data become the network's input, and its output an answer (version 1).

It travels in the portable graph's metadata and in the manifest, so that the same answer is computed everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from edgekd.schema.base import Strict


class ImageInput(Strict):
    """A colour picture as a network's input."""

    name: str = Field(description="Tensor name in the graph.")
    shape: tuple[int, int, int, int] = Field(description="Batch, channels, height, width.")
    layout: Literal["NCHW"] = "NCHW"
    color: Literal["RGB"] = "RGB"
    scale: float = Field(1 / 255, description="Pixel codes 0..255 times this give the range [0, 1].")
    mean: tuple[float, ...] = Field(description="Subtracted per channel after scaling.")
    std: tuple[float, ...] = Field(description="Divided by per channel after the mean.")
    resize: Literal["none"] = Field("none", description="`none`: pictures must have the input's size.")


class ImageOutput(Strict):
    """A picture as a network's output: values times std plus mean, clipped to [0, 1], times 255, rounded."""

    name: str
    decode: Literal["image"] = "image"
    mean: tuple[float, ...]
    std: tuple[float, ...]


class IoRecord(Strict):
    """Inputs and outputs of a graph."""

    version: Literal[1] = 1
    inputs: tuple[ImageInput, ...]
    outputs: tuple[ImageOutput, ...]

    def at(self, shapes: Sequence[tuple[int, ...]]) -> IoRecord:
        """The same at other input shapes."""
        pairs = zip(self.inputs, shapes, strict=True)
        return self.model_copy(update={"inputs": tuple(i.model_copy(update={"shape": shape}) for i, shape in pairs)})
