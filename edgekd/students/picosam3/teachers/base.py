"""What a teacher of masks is, and the recipe's `teacher` table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgekd.graph.roi import Box, Roi
from edgekd.schema.base import Strict


@dataclass(frozen=True)
class Answer:
    """What a teacher says of one box."""

    logits: NDArray[np.float32]
    """(h, w) over `roi`, at any resolution; above zero inside."""
    roi: Roi
    """Of the picture; beyond it nothing is said."""
    score: float
    """The teacher's own estimate of its IoU, 0 to 1; 1 where it has none."""


class MaskTeacher(Protocol):
    """Answers to boxes in a picture of the `Instances` it was opened with."""

    def __call__(self, picture: int, boxes: Sequence[Box]) -> list[Answer]:
        """An answer for each box. `picture` is its number, for a folder of masks knows it by name alone; all boxes of
        a picture in one call, so that it is encoded once."""


class TeacherConfig(Strict):
    """The recipe's `teacher` table."""

    source: str = Field(
        "",
        description="`litemedsam`, which `edgekd fetch litemedsam` brings; a SAM checkpoint's folder as `sam2:FOLDER`, "
        "`sam3:FOLDER` or `sam3-concept:FOLDER`; `masks:FOLDER` of label maps `NAME.mask.png`; `model:FILE`, an ONNX "
        "or .tflite network that sees a crop; `student:FILE`, a larger PicoSAM3's weights; empty: labels "
        "alone.",
    )
    views: int = Field(1, ge=1, description="Boxes asked for each instance: its own, and moved ones.")
    noise: float = Field(0.1, ge=0, le=1, description="Box noise of the views behind the first.")
    trust: Literal["score"] | Annotated[float, Field(ge=0, le=1)] = Field(
        "score", description="Weight of the teacher beside the true mask: its own `score`, or a number for all."
    )
    per: Literal["instance", "batch"] = Field(
        "instance",
        description="Whether each instance has its own weight, or all of a batch their mean, as the paper's.",
    )
    cache: str = Field("", description="A folder that `edgekd teach` filled; empty: the run fills its own.")
