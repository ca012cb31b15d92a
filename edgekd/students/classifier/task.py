"""Classification of small pictures: data, metric. numpy only, so it works without torch."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgekd.schema.base import Strict
from edgekd.schema.io import CHANNELS, ClassesOutput, ImageInput, IoRecord
from edgekd.schema.load import parse
from edgekd.students.base import Sample
from edgekd.students.classifier.data import Loaded, load
from edgekd.students.simple import SimpleTask


class ModelConfig(Strict):
    """The recipe's `model` table."""

    width: Literal[16, 24, 32] = Field(
        24, description="Channels of the first layer; twice and four times as many follow."
    )


class DataConfig(Strict):
    """The recipe's `data` table."""

    source: str = Field(
        "edgekd:sprites",
        description="A folder of sheets, one a class, of 28 x 28 tiles; a folder with MNIST's four idx files; or an "
        "`.npz` file with `x_train`, `y_train`, `x_test`, `y_test`.",
    )
    train: float = Field(2 / 3, gt=0, lt=1, description="Share of each class's sprites that trains; the rest tests.")
    split: int = Field(0, ge=0, description="Seed of that split. Other sources have their own.")
    tests: int = Field(300, ge=1, description="At most so many test pictures, taken evenly.")
    shift: int = Field(2, ge=0, description="Largest random shift in training, in pixels.")
    flip: bool = Field(True, description="Mirror half of the training pictures; false for digits and letters.")


class ClassifyTask(SimpleTask):
    """Which class a grey or colour picture shows."""

    metric, unit = "accuracy", "%"
    about = "pictures of known classes, split by sample with a fixed seed"

    def __init__(self, data: dict[str, Any], seed: int) -> None:
        super().__init__(data, seed)
        self.config = parse(DataConfig, data, "data")

    def folders(self) -> tuple[str, ...]:
        """The data source."""
        return (self.config.source,)

    @cached_property
    def loaded(self) -> Loaded:
        """Labels; pictures and classes to train on; the same to test on."""
        return load(self.config.source, self.config.train, self.config.split)

    @property
    def color(self) -> Literal["RGB", "L"]:
        """Of the pictures."""
        return "RGB" if self.loaded[1][0].ndim == 4 else "L"

    def io(self, shape: tuple[int, int]) -> IoRecord:
        """One grey or colour input in [-1, 1], logits of the classes."""
        count = CHANNELS[self.color]
        half = (0.5,) * count
        image = ImageInput(
            name="image", shape=(1, count, *shape), color=self.color, mean=half, std=half, resize="stretch"
        )
        return IoRecord(inputs=(image,), outputs=(ClassesOutput(name="logits", labels=self.loaded[0]),))

    def evalset(self) -> list[Sample]:
        """The test pictures, evenly thinned to `data.tests`."""
        labels, _, (pictures, classes) = self.loaded
        picks = np.unique(np.linspace(0, len(classes) - 1, min(self.config.tests, len(classes))).round().astype(int))
        return [Sample(id=f"{labels[classes[i]]}-{i}", raw=pictures[i], truth=int(classes[i])) for i in picks]

    def score(self, prediction: NDArray[np.float32], truth: int) -> dict[str, float]:
        """100 where the likeliest class is the true one, else 0; the share given to the true class, in %."""
        right = int(np.argmax(prediction)) == truth
        return {"accuracy": 100.0 * right, "confidence": 100.0 * float(prediction[truth])}
