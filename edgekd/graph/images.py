"""Pictures in and out of a graph, and how alike two pictures are. numpy and Pillow."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from edgekd.digests import digests
from edgekd.errors import MissingError, RequestError
from edgekd.graph.resize import Picture, fit
from edgekd.resources import folder
from edgekd.schema.io import ImageInput, ImageOutput

UNDECODED = (OSError, SyntaxError, EOFError, ValueError, TypeError, struct.error, Image.DecompressionBombError)
"""What Pillow raises at damaged or too large files."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


def find_folder(name: str) -> Path:
    """A data folder: `edgekd:NAME` is one that ships, anything else a path."""
    path = find_data(name)
    if not path.is_dir():
        raise MissingError(f"data folder `{name}` does not exist", "name a folder of pictures in the recipe's `data`")
    return path


def find_data(name: str) -> Path:
    """Where data of this name would lie: `edgekd:NAME` ships, anything else is a path."""
    shipped = name.removeprefix("edgekd:")
    return folder("calibration") / shipped if shipped != name else Path(name)


def picture_files(name: str, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """The picture files of a folder, sorted by name."""
    files = sorted(p for p in find_folder(name).iterdir() if p.suffix.lower() in suffixes)
    if not files:
        raise MissingError(f"data folder `{name}` holds no picture", f"edgekd reads {', '.join(suffixes)}")
    return files


def read_picture(path: Path, color: Literal["RGB", "L"] = "RGB") -> Picture:
    """A picture file as uint8, the way up its camera held it: (H, W, 3) in RGB, (H, W) in grey."""
    with decoding(path), Image.open(path) as image:
        return as_array(ImageOps.exif_transpose(image), color)


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """What Pillow says of a picture file, as MissingError or RequestError."""
    try:
        yield
    except FileNotFoundError:
        raise MissingError(f"picture `{path}` does not exist") from None
    except UNDECODED as error:
        raise RequestError(f"picture `{path}` cannot be decoded: {error}", "replace or remove that file") from None


def as_array(image: Image.Image, color: Literal["RGB", "L"] = "RGB") -> Picture:
    """An opened picture as uint8; of 16 bits a pixel the upper 8, of a transparent one what lies under it."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return np.asarray(image.convert(color))


def load_pictures(name: str) -> dict[str, Picture]:
    """All pictures of a folder by file stem."""
    return {path.stem: read_picture(path) for path in picture_files(name)}


def encode_picture(picture: Picture, spec: ImageInput) -> NDArray[np.float32]:
    """(H, W, 3) or grey (H, W) uint8 as the graph's input, (1, C, H, W) float32, by the io record."""
    mean, std = np.array(spec.mean, np.float32), np.array(spec.std, np.float32)
    picture = fit(picture, spec)
    pixels = picture.reshape(*picture.shape[:2], -1).astype(np.float32)
    normal = (pixels * np.float32(spec.scale) - mean) / std
    return np.ascontiguousarray(normal.transpose(2, 0, 1)[None])


def decode_picture(output: NDArray[Any], spec: ImageOutput) -> Picture:
    """The graph's output, (1, C, H, W), as (H, W, 3) or grey (H, W) uint8, by the io record."""
    mean, std = np.array(spec.mean, np.float32), np.array(spec.std, np.float32)
    unit = output[0].astype(np.float32).transpose(1, 2, 0) * std + mean
    picture: Picture = np.rint(np.clip(unit, 0.0, 1.0) * 255.0).astype(np.uint8)
    return picture[..., 0] if picture.shape[2] == 1 else picture


def psnr(a: Picture, b: Picture) -> float:
    """Peak signal-to-noise ratio in dB, peak 255, all channels; 100 for equal pictures."""
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return 100.0 if error == 0 else float(10 * np.log10(255.0**2 / error))


def ssim(a: Picture, b: Picture) -> float:
    """Structural similarity (Wang et al. 2004): Gaussian window 11, sigma 1.5, K 0.01 and 0.03, mean over RGB.

    Only windows wholly inside the picture count.
    """
    x, y = a.astype(np.float64), b.astype(np.float64)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mx, my = _blur(x), _blur(y)
    vx, vy, cov = _blur(x * x) - mx * mx, _blur(y * y) - my * my, _blur(x * y) - mx * my
    value = ((2 * mx * my + c1) * (2 * cov + c2)) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return float(value.mean())


def _blur(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian window 11, sigma 1.5, over the first two axes, valid part only."""
    window = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    for axis in (0, 1):
        views = np.lib.stride_tricks.sliding_window_view(x, 11, axis=axis)
        x = views @ (window / window.sum())
    return x


def data_digests(names: tuple[str, ...], again: bool = False) -> dict[str, str]:
    """SHA-256 of these data files, and of every file in these data folders as FOLDER/FILE; `again` as in `digests`."""
    out = {}
    for name in names:
        root = find_data(name)
        if root.is_file():
            out[name] = digests([root], again)[root]
            continue
        if root.suffix and not root.exists():
            raise MissingError(f"data file `{name}` does not exist", "name a file or a folder in the recipe's `data`")
        files = sorted(p for p in find_folder(name).rglob("*") if p.is_file()) or picture_files(name)
        out |= {f"{name}/{path.relative_to(root).as_posix()}": value for path, value in digests(files, again).items()}
    return out
