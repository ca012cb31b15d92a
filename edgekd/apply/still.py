"""Still pictures: read as a raw sample, their answers written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edgekd.apply.model import Model
from edgekd.apply.places import ARRAYS
from edgekd.errors import RequestError
from edgekd.graph.images import read_picture
from edgekd.graph.masks import COLORS, Mask
from edgekd.graph.resize import Picture
from edgekd.schema.io import ImageInput, IoRecord


def read_raw(files: Sequence[Path], io: IoRecord) -> Any:
    """A raw sample from one picture file an input, in the record's order. Raises RequestError on a misfit."""
    specs = [spec for spec in io.inputs if isinstance(spec, ImageInput)]
    if len(specs) < len(io.inputs):
        hint = "of a model file say with `--io` which inputs are pictures; else run it from Python on its samples"
        raise RequestError("the network takes more than pictures", hint)
    if len(files) != len(specs):
        names = ", ".join(f"`{spec.name}`" for spec in specs)
        raise RequestError(f"the network takes {len(specs)} pictures, not {len(files)}", f"one each for {names}")
    raw = {spec.name: read_picture(file, spec.color) for spec, file in zip(specs, files, strict=True)}
    for spec in specs:
        check_size(raw[spec.name], spec)
    return raw if len(specs) > 1 else raw[specs[0].name]


def check_size(picture: Picture, spec: ImageInput) -> None:
    """Raises RequestError for a picture that the input's resize rule does not take."""
    if spec.resize == "none" and (size := picture.shape[:2]) != spec.shape[2:]:
        raise RequestError(f"the picture has {size} pixels, the network takes {spec.shape[2:]}", "crop it")


def write(path: Path, model: Model, raw: Any, answer: Any, masks: bool = False) -> None:
    """An answer as arrays where the file is an `.npz`, else drawn, or with `masks` as numbers in a PNG.

    Raises RequestError when that cannot be written.
    """
    if masks and path.suffix not in (".png", ARRAYS):
        raise RequestError(f"`{path}` would not keep the numbers of masks", "name a file like `out.png` or `out.npz`")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ARRAYS:
            arrays: dict[str, Any] = model.arrays(raw, answer)
            np.savez(path, **arrays)
        elif masks:
            numbered(model.masks(raw, answer)).save(path, optimize=True)
        else:
            Image.fromarray(model.draw(raw, answer)).save(path, quality=95)
    except (OSError, ValueError) as error:
        raise RequestError(f"`{path}` cannot be written: {error}", "name a file like `out.png` or `out.npz`") from None


def numbered(masks: Sequence[Mask]) -> Image.Image:
    """One picture of masks (H, W): 0 outside, the number of the last mask that holds a pixel, from 1; with colours to
    look at."""
    out = np.zeros(masks[0].shape, np.uint8)
    for number, mask in enumerate(masks, 1):
        out[mask] = number
    image = Image.fromarray(out, "P")
    colors = [COLORS[i % len(COLORS)] for i in range(len(masks))]
    image.putpalette([value for color in ((0, 0, 0), *colors) for value in color])
    return image
