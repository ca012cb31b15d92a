"""Defaults for a student of one's own: what is left to write is data, network, loss and metric."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import RequestError
from edgekd.graph import answers
from edgekd.schema.io import IoRecord
from edgekd.students.base import Arrays

if TYPE_CHECKING:
    from torch import Tensor

ANY = (1, 1)
"""A size to ask for an io record where sizes do not matter."""


class SimpleTask:
    """A task without baseline, encoded and decoded by its io record. To write: `io`, `evalset`, `score`, `metric`.

    `data` is the recipe's table; the values of `train` and `eval` in it are its files and folders.
    """

    unit = ""
    baseline: str | None = None
    about = "data of one's own"
    metric: str
    io: Callable[[tuple[int, int]], IoRecord]
    """The io record at a deployed (height, width)."""

    def __init__(self, data: dict[str, Any], seed: int) -> None:
        self.data, self.seed = data, seed

    def folders(self) -> tuple[str, ...]:
        """The files and folders that `data.train` and `data.eval` name."""
        named = (self.data.get(key) for key in ("train", "eval"))
        return tuple(dict.fromkeys(name for name in named if isinstance(name, str)))

    def encode(self, raw: Any, io: IoRecord) -> Arrays:
        """By the io record."""
        return {**answers.encode(raw, io)}

    def decode(self, outputs: Arrays, io: IoRecord) -> Any:
        """By the io record."""
        return answers.decode(outputs, io)


class SimpleStudent(SimpleTask):
    """Task and training side in one class. To write, beside the task's: `build`, `sample`, `loss`."""

    taps: tuple[str, ...] = ()
    sample: Callable[[np.random.Generator], dict[str, Any]]
    """One training sample drawn with the generator alone: a raw uint8 picture by each input's name, and what the loss
    reads, arrays or numbers by name."""

    def __init__(self, model: dict[str, Any], data: dict[str, Any], seed: int) -> None:
        super().__init__(data, seed)
        self.model = model

    def batch(self, step: int, size: int, stream: int = 0) -> dict[str, Tensor]:
        """`size` samples stacked by name, each with a generator of (seed, stream, step, number); inputs encoded as
        deployed, but of the size they have. Streams beside 0 are for what is not trained on.

        Raises RequestError where samples lack a name or differ in shape.
        """
        import torch

        io = self.io(ANY).unresized()
        rows = [self.sample(np.random.default_rng([self.seed, stream, step, i])) for i in range(size)]
        wanted = dict.fromkeys([*(spec.name for spec in io.inputs), *(name for row in rows for name in row)])
        out = {name: torch.from_numpy(_stack(name, rows)) for name in wanted}
        encoded = [self.encode({spec.name: row[spec.name] for spec in io.inputs}, io) for row in rows]
        return out | {s.name: torch.from_numpy(np.concatenate([e[s.name] for e in encoded])) for s in io.inputs}

    def inputs(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """The batch's entries that are inputs of the io record."""
        return tuple(batch[spec.name] for spec in self.io(ANY).inputs)


def _stack(name: str, rows: list[dict[str, Any]]) -> NDArray[Any]:
    """One array; float64, which Python's numbers are, becomes float32."""
    if any(name not in row for row in rows):
        raise RequestError(
            f"`sample` gives no `{name}`", "give a value under each input's name, and what the loss reads"
        )
    values = [np.asarray(row[name]) for row in rows]
    shapes = list(dict.fromkeys(value.shape for value in values))
    if len(shapes) > 1:
        message = f"`sample` gives `{name}` in unequal shapes, {list(shapes[0])} and {list(shapes[1])}"
        raise RequestError(message, "crop or pad to one")
    whole = np.stack(values)
    if whole.dtype.kind not in "biuf":
        raise RequestError(f"`sample` gives `{name}` as {type(rows[0][name]).__name__}", "give numbers or an array")
    return whole.astype(np.float32) if whole.dtype == np.float64 else whole
