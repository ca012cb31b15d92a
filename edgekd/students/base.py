"""What edgekd asks of a student: a task (numpy only) and a training side (torch)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekd.schema.io import IoRecord

if TYPE_CHECKING:
    from torch import Tensor, nn

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Sample:
    """One evaluation sample: what the device sees, and the truth."""

    id: str
    raw: NDArray[np.uint8]
    truth: NDArray[np.uint8]


class Task(Protocol):
    """Data, encoding, decoding and metric; works where torch is not installed."""

    metric: str
    unit: str
    input_name: str
    about: str

    def folders(self) -> tuple[str, ...]:
        """Folders of data; their files' digests are part of every step's key."""

    def io(self, shape: tuple[int, int]) -> IoRecord:
        """The io record at a deployed (height, width)."""

    def evalset(self) -> list[Sample]:
        """Samples never trained on, always the same."""

    def encode(self, raw: NDArray[np.uint8], io: IoRecord) -> Arrays:
        """A raw sample as the graph's inputs."""

    def decode(self, outputs: Arrays, io: IoRecord) -> NDArray[np.uint8]:
        """The graph's outputs as an answer."""

    def score(self, prediction: NDArray[np.uint8], truth: NDArray[np.uint8]) -> dict[str, float]:
        """Metrics of one answer, higher is better."""


class Student(Protocol):
    """The network and its training."""

    taps: tuple[str, ...]
    """Module paths whose outputs are distilled."""

    def build(self) -> nn.Module:
        """The network with fresh weights, in training form."""

    def batch(self, step: int, size: int) -> dict[str, Tensor]:
        """A training batch; its randomness comes from (seed, step, sample) alone."""

    def inputs(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """The network's inputs in a batch."""

    def loss(self, outputs: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """The task's loss."""
