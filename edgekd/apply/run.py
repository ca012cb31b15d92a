"""Every picture, folder, video and camera that is named, one after the other; what fails does not stop the rest."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from edgekd.apply.ffmpeg import is_camera
from edgekd.apply.model import Model
from edgekd.apply.moving import ALWAYS, Movie, open_movie
from edgekd.apply.places import ARRAYS, MASKS, Places
from edgekd.apply.still import check_size, read_raw, write
from edgekd.errors import EdgekdError, MissingError, Problem, RequestError
from edgekd.graph.images import SUFFIXES, as_array, picture_files
from edgekd.graph.resize import Picture
from edgekd.schema.io import ImageInput, ImageOutput, MaskOutput
from edgekd.store import write_atomic

Tick = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Outcome:
    """What came of one sample or movie; of a movie `answers` holds one for each of its pictures."""

    source: str
    answers: Any
    wrote: Path | None
    frames: int
    seconds: float
    found: Any = None
    """The answer itself, of a still."""


def apply(
    model: Model,
    names: Sequence[Path],
    out: Path | None,
    limit: int | None = None,
    tick: Tick = lambda *args: None,
    masks: bool = False,
) -> Iterator[Outcome | Problem]:
    """Answer everything named. A network of several inputs takes one picture for each; else each name is its own.

    `out` is a file for one source, else a folder. Without it pictures and masks are written to `out.png` or `out/`, a
    movie beside its source (of several to `out/`), and classes and tensors nowhere. In a folder `answers.json` holds
    what is no picture. With `masks` their numbers are written instead of drawings. Of what moves at most `limit`
    pictures are taken. One source that fails raises its error; of several
    each gives a Problem.
    """
    several = len(model.io.inputs) > 1
    samples = [tuple(names)] if several else [(path,) for name in names for path in _expand(name)]
    alone = len(samples) == 1 and not any(name.is_dir() for name in names)
    segmented = any(isinstance(spec, MaskOutput) for spec in model.io.outputs)
    if masks and not segmented:
        raise RequestError("the network gives no mask", "leave out `--masks`")
    restored = len(model.io.outputs) == 1 and isinstance(model.io.outputs[0], ImageOutput)
    places, told = Places(out, alone, restored or segmented), list[dict[str, Any]]()
    for i, sample in enumerate(samples):
        if not alone:
            tick(i, len(samples), sample[0].name)
        try:
            outcome = _one(model, sample, places, limit, tick if alone else lambda *args: None, masks)
        except EdgekdError as error:
            if alone:
                raise
            yield Problem(str(sample[0]), error.message, error.hint, isinstance(error, MissingError))
        else:
            told.append({"source": outcome.source, "answers": outcome.answers})
            yield outcome
    if places.folder and told and not restored:
        write_atomic(places.folder / "answers.json", json.dumps(told, indent=1).encode())


def _expand(name: Path) -> list[Path]:
    return picture_files(str(name), (*SUFFIXES, *ALWAYS)) if name.is_dir() else [name]


def _one(model: Model, sample: tuple[Path, ...], places: Places, limit: int | None, tick: Tick, masks: bool) -> Outcome:
    if len(sample) == 1 and (movie := open_movie(sample[0], limit)):
        if masks:
            raise RequestError("masks of what moves are drawn only", "leave out `--masks`, or name still pictures")
        return _movie(model, movie, places.movie(movie.path), tick)
    raw, start = read_raw(sample, model.io), time.perf_counter()
    answer = model.answer(raw)
    seconds = time.perf_counter() - start
    path = places.still(sample[0], MASKS if masks else "" if model.pictured else ARRAYS)
    if path is not None:
        write(path, model, raw, answer, masks)
    return Outcome(", ".join(map(str, sample)), model.plain(raw, answer), path, 1, seconds, answer)


def _movie(model: Model, movie: Movie, path: Path, tick: Tick) -> Outcome:
    """Each picture answered, drawn and written. Ctrl-C ends a camera's movie, which is kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    answers, start = list[Any](), time.perf_counter()
    with closing(movie.frames()) as pictures, ExitStack() as stack:
        put: Callable[[Picture], None] | None = None
        try:
            for picture in pictures:
                raw = _seen(picture, model)
                answer = model.answer(raw)
                drawn = as_array(Image.fromarray(model.draw(raw, answer)))
                put = put or stack.enter_context(movie.writer(path, drawn))
                put(drawn)
                answers.append(model.plain(raw, answer))
                tick(len(answers), max(movie.count, len(answers)), movie.path.name)
        except KeyboardInterrupt:
            if not is_camera(movie.path) or not answers:
                raise
    if not answers:
        raise RequestError(f"`{movie.path}` holds no picture")
    return Outcome(str(movie.path), answers, path, len(answers), time.perf_counter() - start)


def _seen(picture: Picture, model: Model) -> Picture:
    """A picture of a movie in the colours of the one input."""
    (spec,) = model.io.inputs
    if not isinstance(spec, ImageInput):
        raise RequestError("the network takes no pictures", "run it from Python with its task's samples")
    seen = as_array(Image.fromarray(picture), spec.color)
    check_size(seen, spec)
    return seen
