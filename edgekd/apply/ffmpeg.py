"""Videos and cameras through the programs `ffmpeg` and `ffprobe`: raw pictures in pipes, argument lists, no network."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from edgekd.errors import MissingError, RequestError
from edgekd.graph.resize import Picture, scale

QUIET = ("-hide_banner", "-loglevel", "error", "-nostdin")
EVEN = "pad=ceil(iw/2)*2:ceil(ih/2)*2"
"""Most codecs store colour for two by two pixels."""


def is_camera(path: Path) -> bool:
    """Whether a path is a camera of this host."""
    return str(path).startswith("/dev/video")


def source(path: Path) -> list[str]:
    """How ffmpeg is told to read a camera, or a file and nothing else that the file may name."""
    return ["-f", "v4l2", "-i", str(path)] if is_camera(path) else ["-protocol_whitelist", "file", "-i", f"file:{path}"]


def probe(path: Path) -> tuple[Fraction, int]:
    """Pictures a second, and about how many there are (0 where nobody knows). Raises RequestError or MissingError."""
    entries = "stream=avg_frame_rate,r_frame_rate,nb_frames,duration:format=duration"
    command = [_tool("ffprobe"), "-loglevel", "error", *source(path), "-select_streams", "v:0", "-show_entries",
               entries, "-of", "json"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout or "{}")
    if done.returncode or not found.get("streams"):
        raise RequestError(f"`{path}` cannot be read: {_last(done.stderr) or 'it holds no video'}")
    stream = found["streams"][0]
    rate = next((r for key in ("avg_frame_rate", "r_frame_rate") if (r := _rate(stream.get(key)))), Fraction(25))
    seconds = _number(stream.get("duration")) or _number(found.get("format", {}).get("duration"))
    return rate, int(_number(stream.get("nb_frames")) or seconds * rate)


def frames(path: Path, rate: Fraction, limit: int | None = None) -> Generator[Picture, None, None]:
    """The pictures of a video, (H, W, 3) RGB the way up they are shown, evenly timed at `rate` a second."""
    some = ["-frames:v", str(limit)] if limit else []
    command = [_tool("ffmpeg"), *QUIET, *source(path), "-map", "0:v:0", "-r", str(rate), *some,
               "-pix_fmt", "rgb24", "-c:v", "ppm", "-f", "image2pipe", "-"]  # fmt: skip
    with _running(command, path, stdout=subprocess.PIPE) as process:
        while (picture := _read_ppm(process.stdout)) is not None:
            yield picture


@contextmanager
def writer(path: Path, shape: Sequence[int], rate: Fraction, sound: Path | None) -> Iterator[Callable[[Picture], None]]:
    """Write pictures of `shape` (H, W, 3) as a video, with the sound of another; the file is there when it is whole."""
    part = path.with_name(f".part-{path.name}")
    audio = [*source(sound), "-map", "0:v", "-map", "1:a?", "-shortest"] if sound else []
    command = [_tool("ffmpeg"), *QUIET, "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{shape[1]}x{shape[0]}",
               "-r", str(rate), "-i", "pipe:0", *audio, "-vf", EVEN, "-pix_fmt", "yuv420p", f"file:{part}"]  # fmt: skip
    try:
        with _running(command, path, stdin=subprocess.PIPE) as process:
            yield lambda picture: _feed(process, scale(picture, (shape[0], shape[1]), "bilinear"))
            _close(process)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _running(command: list[str], path: Path, **pipes: int) -> Iterator[Any]:
    """A program until it ends, or is ended because nobody reads on; Ctrl-C is ours to hear, not the program's."""
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(command, stderr=told, start_new_session=True, **pipes)  # type: ignore[call-overload]
        try:
            yield process
            code = process.wait()
        finally:
            process.kill()
            process.wait()
            for pipe in filter(None, (process.stdin, process.stdout)):
                with suppress(BrokenPipeError):
                    pipe.close()
        told.seek(0)
        if code:
            raise RequestError(f"ffmpeg fails at `{path}`: {_last(told.read().decode(errors='replace'))}")


def _feed(process: Any, picture: Picture) -> None:
    """A picture into a pipe. One whose reader is gone is told of when the program ends."""
    with suppress(BrokenPipeError):
        process.stdin.write(np.ascontiguousarray(picture).tobytes())


def _close(process: Any) -> None:
    with suppress(BrokenPipeError):
        process.stdin.close()


def _read_ppm(pipe: Any) -> Picture | None:
    """The next picture of a stream of PPM files (Netpbm's P6, 8 bits); None at the end."""
    if not pipe.readline():
        return None
    width, height = map(int, pipe.readline().split())
    pipe.readline()
    data = pipe.read(width * height * 3)
    whole = len(data) == width * height * 3
    return np.frombuffer(data, np.uint8).reshape(height, width, 3) if whole else None


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise MissingError(f"videos need `{name}`", "apt install ffmpeg, or brew install ffmpeg")
    return found


def _rate(text: str | None) -> Fraction | None:
    """A rate as ffprobe writes it; `0/0` is none."""
    over, _, under = (text or "").partition("/")
    return Fraction(int(over), int(under)) if over.isdigit() and under.isdigit() and int(over) and int(under) else None


def _number(text: str | None) -> float:
    with suppress(TypeError, ValueError):
        return float(text or 0)
    return 0.0


def _last(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1].strip()
