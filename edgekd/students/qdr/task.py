"""Denoising of colour photographs: data, encoding, metric, pictures. numpy only, so it works without torch."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgekd.graph import answers
from edgekd.graph.images import load_pictures, psnr, ssim
from edgekd.schema.base import Strict
from edgekd.schema.io import ImageInput, ImageOutput, IoRecord
from edgekd.schema.load import parse
from edgekd.students.base import Sample

Picture = NDArray[np.uint8]


class ModelConfig(Strict):
    """The recipe's `model` table."""

    size: Literal["xs", "s", "m", "l"] = Field("xs", description="Widths and blocks.")
    gate: Literal["none", "spatial", "full"] = Field("spatial", description="Gate mask: none, 1 or C channels.")


class DataConfig(Strict):
    """The recipe's `data` table."""

    train: str = Field("edgekd:photos", description="Folder of pictures; `edgekd:` folders ship.")
    eval: str = Field("edgekd:kodak", description="Folder of pictures never trained on.")
    sigma: float = Field(25.0, gt=0, le=200, description="Noise, standard deviation in 8-bit steps. Synthesised.")
    patch: int = Field(64, ge=16, multiple_of=8, description="Side of a training patch, in pixels.")
    crop: int = Field(256, ge=16, multiple_of=8, description="Side of an evaluation crop, in pixels.")


def add_noise(clean: Picture, sigma: float, rng: np.random.Generator) -> Picture:
    """White Gaussian noise on a picture, clipped and rounded to 8 bits as a camera would hand it on."""
    noisy = clean + rng.normal(0.0, sigma, clean.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


class DenoiseTask:
    """Remove seeded, synthesised noise from real photographs."""

    metric = "psnr"
    unit = "dB"
    baseline: str | None = "noisy input"
    about = "real photographs, white Gaussian noise synthesised with a fixed seed, clipped and rounded to 8 bits"

    def __init__(self, data: dict[str, Any], seed: int) -> None:
        self.config = parse(DataConfig, data, "data")
        self.seed = seed

    def folders(self) -> tuple[str, ...]:
        """Folders the task reads."""
        return (self.config.train, self.config.eval)

    def io(self, shape: tuple[int, int]) -> IoRecord:
        """The io record of a net deployed at `shape` (height, width)."""
        half = (0.5, 0.5, 0.5)
        return IoRecord(
            inputs=(ImageInput(name="image", shape=(1, 3, *shape), mean=half, std=half, resize="tile"),),
            outputs=(ImageOutput(name="restored", mean=half, std=half),),
        )

    def evalset(self) -> list[Sample]:
        """Crops of the evaluation pictures, row by row, each with its own seeded noise."""
        side = self.config.crop
        samples = []
        for i, (name, clean) in enumerate(load_pictures(self.config.eval).items()):
            rows, columns = clean.shape[0] // side, clean.shape[1] // side
            for j in range(rows * columns):
                y, x = j // columns * side, j % columns * side
                crop = clean[y : y + side, x : x + side]
                noisy = add_noise(crop, self.config.sigma, np.random.default_rng([self.seed, 1, i, j]))
                samples.append(Sample(id=f"{name}@{x},{y}", raw=noisy, truth=crop))
        return samples

    def encode(self, raw: Picture, io: IoRecord) -> dict[str, NDArray[np.float32]]:
        """A picture (H, W, 3) as the network's input."""
        return answers.encode(raw, io)

    def decode(self, outputs: dict[str, NDArray[np.float32]], io: IoRecord) -> Picture:
        """The network's output as a picture (H, W, 3)."""
        picture: Picture = answers.decode(outputs, io)
        return picture

    def score(self, prediction: Picture, truth: Picture) -> dict[str, float]:
        """PSNR in dB and SSIM of one picture, RGB, peak 255, no border removed."""
        return {"psnr": psnr(prediction, truth), "ssim": ssim(prediction, truth)}
