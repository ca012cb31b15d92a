"""What a firmware file tells programs of its network: `network_intrinsics`, by the schema in picamera2."""

from __future__ import annotations

from typing import Any

from edgekd.schema.io import ClassesOutput, ImageInput, IoRecord, MaskOutput

RATE = 30
"""Frames a second; picamera2's default."""


def intrinsics(io: IoRecord) -> dict[str, Any]:
    """The intrinsics of a network by its io record; what is ours stands under `edgekd`."""
    first, output = io.inputs[0], io.outputs[0]
    out: dict[str, Any] = {"inference_rate": RATE}
    if isinstance(first, ImageInput):
        out["input_aspect_ratio"] = {"width": first.shape[3], "height": first.shape[2]}
    if isinstance(output, ClassesOutput):
        out |= {"task": "classification", "classes": {"labels": list(output.labels)}}
        out["cpu"] = {"softmax": output.activation == "softmax"}
    if isinstance(output, MaskOutput):
        out["task"] = "segmentation"
    return out | {"edgekd": {"region": region_of(io), "threshold": threshold_of(io)}}


def region_of(io: IoRecord) -> dict[str, Any] | None:
    """The rule by which a box becomes the input; None where no box is asked for."""
    first = io.inputs[0]
    return first.region.plain() if isinstance(first, ImageInput) and first.region is not None else None


def threshold_of(io: IoRecord) -> float | None:
    """The value, a real number as the sensor gives it out, above which a pixel is inside; None for no mask."""
    output = io.outputs[0]
    return output.threshold if isinstance(output, MaskOutput) else None
