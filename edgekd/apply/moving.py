"""What moves: animated pictures through Pillow, videos and cameras through ffmpeg."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageSequence

from edgekd.apply import ffmpeg
from edgekd.errors import MissingError, RequestError
from edgekd.graph.images import SUFFIXES, UNDECODED, as_array, decoding
from edgekd.graph.resize import Picture

ALWAYS = (".gif", ".apng")
"""What animations alone are called; other suffixes are of stills, too."""
ANIMATED = ("GIF", "PNG", "WEBP")
"""Pillow's formats whose pictures follow each other in time; those of a TIFF are pages."""
Write = Callable[[Picture], None]


@dataclass(frozen=True)
class Movie:
    """Pictures in time: about how many, 0 where nobody knows; its pictures; how a changed one is written."""

    path: Path
    count: int
    frames: Callable[[], Generator[Picture, None, None]]
    writer: Callable[[Path, Picture], AbstractContextManager[Write]]


def open_movie(path: Path, limit: int | None = None) -> Movie | None:
    """What moves in a file or comes from a camera, at most `limit` pictures; None for a still picture."""
    if not ffmpeg.is_camera(path) and path.suffix.lower() in (*SUFFIXES, *ALWAYS):
        return _animation(path, limit)
    if not path.exists():
        raise MissingError(f"`{path}` does not exist")
    rate, count = ffmpeg.probe(path)
    sound = None if ffmpeg.is_camera(path) else path
    return Movie(
        path,
        min(count or limit or 0, limit or count),
        lambda: ffmpeg.frames(path, rate, limit),
        lambda out, first: ffmpeg.writer(out, first.shape, rate, sound),
    )


def _animation(path: Path, limit: int | None) -> Movie | None:
    with suppress(*UNDECODED), Image.open(path) as image:
        found: int = getattr(image, "n_frames", 1)
        if image.format in ANIMATED and found > 1:
            count = min(found, limit or found)
            return Movie(path, count, lambda: _pictures(path, count), lambda out, first: _animated(out, path))
    return None  # also for what cannot be opened: reading it as a still tells why


def _pictures(path: Path, count: int) -> Generator[Picture, None, None]:
    """Decoded one at a time; what goes wrong with them elsewhere is not the file's fault."""
    with Image.open(path) as image:
        for i in range(count):
            with decoding(path):
                image.seek(i)
                picture = as_array(image)
            yield picture


@contextmanager
def _animated(out: Path, original: Path) -> Generator[Write, None, None]:
    """Collect pictures and write them with the original's durations and loops."""
    pictures: list[Picture] = []
    yield pictures.append
    with Image.open(original) as image:
        times = [_milliseconds(frame) for frame in ImageSequence.Iterator(image)]
        repeats = {"loop": image.info["loop"]} if "loop" in image.info else {}
    first, *others = [Image.fromarray(picture) for picture in pictures]
    try:
        first.save(out, save_all=True, append_images=others, duration=times[: len(pictures)], **repeats)
    except (OSError, ValueError) as error:
        raise RequestError(f"`{out}` cannot be written: {error}") from None


def _milliseconds(frame: Image.Image) -> float:
    """How long a picture is shown; some formats know only once it is decoded."""
    frame.load()
    return float(frame.info.get("duration", 100))
