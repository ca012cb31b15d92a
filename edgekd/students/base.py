"""What edgekd asks of a student: a task (numpy only) and a training side (torch)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgekd.schema.io import IoRecord

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgekd.train.cache import Lesson

STORED = "stored.safetensors"
"""What a student that folds may leave: what its deployed net can be made of again, smaller than that."""
Arrays = dict[str, NDArray[Any]]
Raw = NDArray[np.uint8] | dict[str, NDArray[np.uint8]]
"""A picture, (H, W, 3) or grey (H, W); of a network with several inputs, one by each input's name."""


@dataclass(frozen=True)
class Sample:
    """One evaluation sample: what the device sees, and the truth, whatever the task's score reads."""

    id: str
    raw: Raw
    truth: Any


class Task(Protocol):
    """Data, encoding, decoding and metric; works where torch is not installed."""

    metric: str
    """The metric that gates and tables are about: a key of what `score` gives."""
    unit: str
    baseline: str | None
    """What the raw input is called where it is an answer itself (a noisy picture), so that gains count from its score;
    None where it is not: then they count from zero."""
    about: str

    def folders(self) -> tuple[str, ...]:
        """Files and folders of data; their digests are part of every step's key."""

    def io(self, shape: tuple[int, int]) -> IoRecord:
        """The io record at a deployed (height, width)."""

    def evalset(self) -> list[Sample]:
        """Samples never trained on, always the same."""

    def encode(self, raw: Any, io: IoRecord) -> Arrays:
        """A raw sample as the graph's inputs."""

    def decode(self, outputs: Arrays, io: IoRecord) -> Any:
        """The graph's outputs as an answer."""

    def score(self, prediction: Any, truth: Any) -> dict[str, float]:
        """Metrics of one answer, higher is better unless `Errs`; tables and gates show their means over samples.

        Without a `baseline` the task's own metric counts from zero: a share of the FP32 net's exists where its mean is
        above zero alone. An error counts from a `baseline` alone.
        """


@runtime_checkable
class Draws(Protocol):
    """What a task may have beside: its own way to show an answer. Without it the io record says how."""

    def draw(self, raw: Any, prediction: Any) -> NDArray[np.uint8]:
        """An answer on the raw sample it is about, to look at: (H, W, 3) or (H, W)."""


@runtime_checkable
class DrawsTruth(Protocol):
    """What a task that draws may have beside: the truth drawn alike, to be shown beside the answers."""

    def draw_truth(self, sample: Sample) -> NDArray[np.uint8]:
        """The true answer on the raw sample: (H, W, 3) or (H, W)."""


@runtime_checkable
class Controlled(Protocol):
    """What a task may have beside: answers that need no network, as rows of every table. A `baseline` of one of their
    names is that row."""

    def controls(self) -> dict[str, Callable[[Sample], Any]]:
        """By name: from a sample, truth and all, to an answer."""


@dataclass(frozen=True)
class Marked:
    """The truth of a sample whose answer is a mask, as it is shown."""

    inside: NDArray[np.bool_]
    """(h, w): of the raw sample's pixels."""
    box: tuple[float, float, float, float] | None = None
    """The prompt: left, top, width, height in those pixels."""


@runtime_checkable
class Referenced(Protocol):
    """What a task may have beside: the true mask of a sample, to be shown beside the answers. Without it a `truth` that
    is an array (h, w) is the mask."""

    def reference(self, sample: Sample) -> Marked:
        """The mask on the raw sample, and the box that asked for it."""


@runtime_checkable
class Described(Protocol):
    """What a task may have beside: titles and units of its metrics."""

    metrics: Mapping[str, tuple[str, str]]
    """By the metric's name: how reports call it, and its unit."""


@runtime_checkable
class Errs(Protocol):
    """What a task may have beside: metrics that are errors, of which lower is better."""

    errors: tuple[str, ...]
    """Their names."""


def sign_of(task: Task, metric: str) -> int:
    """1 where a higher value of the metric is better, -1 where a lower one is."""
    return -1 if isinstance(task, Errs) and metric in task.errors else 1


def title_of(task: Task, metric: str) -> str:
    """What reports call a metric; a short name is an abbreviation: `psnr` as `PSNR`, `accuracy` as it is."""
    known = task.metrics if isinstance(task, Described) else {}
    return known[metric][0] if metric in known else metric.upper() if len(metric) <= 4 else metric


def unit_of(task: Task, metric: str) -> str:
    """The unit of a metric; of the task's own it is `task.unit`, others have none unless the task says so."""
    known = task.metrics if isinstance(task, Described) else {}
    return known[metric][1] if metric in known else task.unit if metric == task.metric else ""


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

    def loss(self, outputs: Any, batch: dict[str, Tensor]) -> Tensor:
        """The task's loss; `outputs` is what the network gives, a Tensor or a tuple of them."""


def deployed(student: Student) -> nn.Module:
    """The network in the form that is deployed, with fresh weights."""
    return student.deployed() if isinstance(student, Folds) else student.build()


@runtime_checkable
class Folds(Protocol):
    """What a student may have beside: its network is trained in another form than it is deployed in.

    Whatever comes after the float training works on the deployed form.
    """

    def deployed(self) -> nn.Module:
        """The deployed form with fresh weights."""

    def fold(self, net: nn.Module, folder: Path) -> nn.Module:
        """The trained net, which `build` made, in its deployed form; what else is worth keeping goes into `folder`."""


@runtime_checkable
class Steers(Protocol):
    """What a student may have beside: it changes its net between the steps of the float training."""

    def steer(self, net: nn.Module, step: int, steps: int) -> None:
        """Called before each step, with the net on its device. What changes lies in the net's state, and randomness
        comes from (seed, step) alone, so that a resumed run ends the same."""


@runtime_checkable
class Refers(Protocol):
    """What a student may have beside: settings that name what is kept elsewhere, a device's descriptor for example."""

    def referred(self) -> dict[str, Any]:
        """JSON: what they name; it is part of the key of every step that trains."""


@runtime_checkable
class Learns(Protocol):
    """What a student may have beside: it learns from a teacher outside, which the recipe's table `teacher` names."""

    def lesson(self, teacher: dict[str, Any]) -> Lesson | None:
        """What to ask that teacher, None where it names none. Raises ProblemsError where the table is wrong."""

    def learn(self, teacher: dict[str, Any], cache: Path) -> None:
        """Use the answers in this folder from now on. Raises MissingError or RequestError where they are not whole."""


@runtime_checkable
class Follows(Protocol):
    """What a student may have beside: it learns from another arm's net, which `teacher.source = "arm:NAME"` names."""

    def lesson(self, teacher: dict[str, Any]) -> Lesson | None:
        """None where an arm teaches. Raises ProblemsError where the table `teacher` is wrong."""

    def follow(self, teacher: dict[str, Any], net: nn.Module) -> None:
        """Learn from this trained net, frozen and in its deployed form, from now on."""
