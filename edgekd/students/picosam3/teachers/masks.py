"""A folder of label maps as a teacher: masks that another program, or a person, made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import RequestError
from edgekd.graph.roi import Box
from edgekd.students.picosam3.data import LABELS, Instances, boxes, read_labels
from edgekd.students.picosam3.teachers.base import Answer
from edgekd.students.picosam3.teachers.overlap import overlaps, reach


@dataclass(frozen=True)
class MaskFolder:
    """Answers with the mask whose box overlaps the asked one the most."""

    folder: Path
    data: Instances

    def __call__(self, picture: int, boxes: Sequence[Box]) -> list[Answer]:
        """An answer for each box. Raises MissingError or RequestError for the picture's label map."""
        labels = self.labels(picture)
        return [answer(labels, box) for box in boxes]

    def labels(self, picture: int) -> NDArray[np.integer]:
        """A picture's label map (H, W)."""
        path = self.folder / f"{self.data.names[picture]}{LABELS}"
        labels = read_labels(path)
        if labels.shape != self.data.picture(picture).shape[:2]:
            raise RequestError(f"`{path}` is not of its picture's size", "make both alike")
        return labels


def answer(labels: NDArray[np.integer], box: Box) -> Answer:
    """+1 in the mask, -1 elsewhere. Where none overlaps the box: nothing, at a score of 0, so that none is trusted."""
    roi = reach(box, labels.shape)
    known = list(boxes(labels))
    shares = overlaps([other for _, other in known], box)
    if not shares.any():
        return Answer(np.full((roi.height, roi.width), -1, np.float32), roi, 0.0)
    inside = labels[roi.slices] == known[int(shares.argmax())][0]
    return Answer(np.where(inside, np.float32(1), np.float32(-1)), roi, 1.0)
