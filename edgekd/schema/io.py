"""The io record: how raw data become the network's input, and its output an answer (version 4).

It travels in the portable graph's metadata and in the manifest, so that the same answer is computed everywhere.
Version 1 knew colour pictures alone, version 2 no resize rule, version 3 neither regions nor masks; their records are
read as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from edgekd.schema.base import Strict

CHANNELS = {"RGB": 3, "L": 1}


class Region(Strict):
    """A box is the prompt: the network sees the box's surroundings alone, `graph/roi.py` says which."""

    margin: float = Field(ge=0, description="Share of the box's longer side that is added on each side.")
    least: int = Field(ge=1, description="Least side of a region, in pixels.")


class ImageInput(Strict):
    """A picture as a network's input."""

    name: str = Field(description="Tensor name in the graph.")
    shape: tuple[int, int, int, int] = Field(description="Batch, channels, height, width.")
    layout: Literal["NCHW"] = "NCHW"
    color: Literal["RGB", "L"] = Field("RGB", description="`RGB`: three channels; `L`: one, grey.")
    scale: float = Field(1 / 255, description="Pixel codes 0..255 times this give the range [0, 1].")
    mean: tuple[float, ...] = Field(description="Subtracted per channel after scaling.")
    std: tuple[float, ...] = Field(description="Divided by per channel after the mean.")
    resize: Literal["none", "stretch", "letterbox", "crop", "tile"] = Field(
        "none",
        description="How a picture gets the input's size. `none`: it must have it. `stretch`: both sides to the "
        "input's. `letterbox`: the whole picture, proportions kept, black around it. `crop`: the largest centred part "
        "of the input's proportions. `tile`: in overlapping tiles of the input's size, the answers blended.",
    )
    filter: Literal["nearest", "box", "bilinear", "bicubic", "lanczos"] = Field(
        "bilinear", description="Pillow's filter that resizes; `box` is the mean over the area."
    )
    region: Region | None = Field(None, description="How a box in a larger picture becomes the picture to resize.")

    @model_validator(mode="after")
    def _channels_agree(self) -> ImageInput:
        wanted = CHANNELS[self.color]
        if not len(self.mean) == len(self.std) == wanted:
            raise ValueError(f"`{self.name}` is {self.color}: `mean` and `std` need {wanted} values")
        if self.region is not None and self.resize != "stretch":
            raise ValueError(f"`{self.name}`: a `region` needs `resize` to be `stretch`")
        return self

    @model_serializer(mode="wrap")
    def _as_older_versions_wrote_it(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        out: dict[str, Any] = plain(self)
        if self.resize in ("none", "tile"):  # then nothing is resized
            out.pop("filter", None)
        if self.region is None:
            out.pop("region", None)
        return out

    @property
    def ends(self) -> tuple[float, float]:
        """The range of the input: pixels 0 and 255 after scaling, mean and std."""
        ends = [(v * 255 * self.scale - m) / s for m, s in zip(self.mean, self.std, strict=True) for v in (0, 1)]
        return min(ends), max(ends)


class TensorInput(Strict):
    """Numbers as a network's input, as they are."""

    name: str = Field(description="Tensor name in the graph.")
    kind: Literal["tensor"] = "tensor"
    shape: tuple[int, ...] = Field(min_length=1, description="The batch, 1, and the rest.")
    ends: tuple[float, float] = Field(description="Least and largest value that occurs.")

    @model_validator(mode="after")
    def _one_sample_of_a_range(self) -> TensorInput:
        low, high = self.ends
        if not (isfinite(low) and isfinite(high) and low < high):
            raise ValueError(f"`{self.name}`: `ends` must be two finite numbers, the lower first")
        if self.shape[0] != 1:
            raise ValueError(f"`{self.name}`: `shape` begins with the batch, which is 1")
        return self


Input = ImageInput | TensorInput


class ImageOutput(Strict):
    """A picture as a network's output: values times std plus mean, clipped to [0, 1], times 255, rounded."""

    name: str
    decode: Literal["image"] = "image"
    mean: tuple[float, ...]
    std: tuple[float, ...]


class ClassesOutput(Strict):
    """One value a class, (1, C): after the activation, a share or a logit for each label."""

    name: str
    decode: Literal["classes"] = "classes"
    labels: tuple[str, ...] = Field(min_length=1, description="Names of the classes, in the output's order.")
    activation: Literal["softmax", "sigmoid", "none"] = Field(
        "softmax", description="What decoding applies; the graph gives out what stands before it."
    )


class MaskOutput(Strict):
    """One value a pixel, (1, 1, H, W): inside where it is above `threshold`."""

    name: str
    decode: Literal["mask"] = "mask"
    threshold: float = Field(0.0, description="Of the values as the graph gives them, logits for example.")


class TensorOutput(Strict):
    """Values as they are, the batch axis taken off."""

    name: str
    decode: Literal["tensor"] = "tensor"


Output = Annotated[ImageOutput | ClassesOutput | MaskOutput | TensorOutput, Field(discriminator="decode")]


class IoRecord(Strict):
    """Inputs and outputs of a graph."""

    version: Literal[1, 2, 3, 4] = 4
    inputs: tuple[Input, ...] = Field(min_length=1)
    outputs: tuple[Output, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _tiles_give_pictures(self) -> IoRecord:
        tiled = [spec.name for spec in self.inputs if isinstance(spec, ImageInput) and spec.resize == "tile"]
        if tiled and (len(self.inputs) > 1 or not all(isinstance(spec, ImageOutput) for spec in self.outputs)):
            raise ValueError(f"`{tiled[0]}`: `tile` needs one input and outputs that are pictures of its size")
        return self

    def at(self, shapes: Sequence[tuple[int, ...]]) -> IoRecord:
        """The same at other input shapes."""
        pairs = zip(self.inputs, shapes, strict=True)
        return self.model_copy(update={"inputs": tuple(i.model_copy(update={"shape": shape}) for i, shape in pairs)})

    def unresized(self) -> IoRecord:
        """The same for pictures that keep the size they have."""
        inputs = (i.model_copy(update={"resize": "none"}) if isinstance(i, ImageInput) else i for i in self.inputs)
        return self.model_copy(update={"inputs": tuple(inputs)})
