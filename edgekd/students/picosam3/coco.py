"""Instances of a COCO file: json of polygons or run lengths, and a folder of the pictures it names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError, model_validator

from edgekd.errors import MissingError, RequestError
from edgekd.graph.images import read_picture
from edgekd.graph.masks import Mask
from edgekd.graph.resize import Picture
from edgekd.students.picosam3.data import Instance, Instances, kept_few

Side = Annotated[int, Field(ge=1, le=1 << 16)]
Place = Annotated[float, Field(ge=-(1 << 17), le=1 << 17)]
Polygon = Annotated[list[Place], Field(min_length=6)]


class _Picture(BaseModel):
    id: int
    file_name: str
    height: Side
    width: Side

    @model_validator(mode="after")
    def _inside_its_folder(self) -> _Picture:
        path = PurePosixPath(self.file_name)
        if path.is_absolute() or ".." in path.parts or not path.name or "\0" in self.file_name:
            raise ValueError(f"`{self.file_name}` leads out of the folder of pictures")
        return self


class _Runs(BaseModel):
    counts: list[int] | str
    size: tuple[Side, Side]


class _Annotation(BaseModel):
    id: int
    image_id: int
    bbox: tuple[Place, Place, Place, Place]
    segmentation: list[Polygon] | _Runs
    iscrowd: int = 0


class _Coco(BaseModel):
    images: list[_Picture]
    annotations: list[_Annotation]


def load_coco(path: Path, images: str) -> Instances:
    """The instances of a COCO file, without crowds and what has no mask or area; its pictures in the folder `images`.

    Boxes are the file's. Pictures are read when they are asked for. Raises MissingError or RequestError.
    """
    coco = _read(path)
    pictures, known = _pictures(coco, path), {}
    names = _names(pictures)
    places = {picture.id: i for i, picture in enumerate(pictures)}
    for annotation in coco.annotations:
        if annotation.segmentation and not annotation.iscrowd and min(annotation.bbox[2:]) > 0:
            place = places[annotation.image_id]
            known[Instance(f"{names[place]}-{annotation.id}", place, annotation.id, annotation.bbox)] = annotation
    files = _files(pictures, images, path)

    @kept_few
    def picture(i: int) -> Picture:
        found = read_picture(files[i])
        if found.shape[:2] != (pictures[i].height, pictures[i].width):
            raise RequestError(f"`{files[i]}` is not of the size that `{path.name}` says", "use that file's pictures")
        return found

    def mask(instance: Instance) -> Mask:
        size = pictures[instance.picture].height, pictures[instance.picture].width
        return decoded(known[instance].segmentation, size, f"annotation {instance.number} of `{path.name}`")

    return Instances(tuple(names), tuple(known), picture, mask)


def _read(path: Path) -> _Coco:
    """A COCO file, its structure checked."""
    try:
        return _Coco.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise MissingError(f"data file `{path}` does not exist", "name a COCO file in `data.source`") from None
    except OSError as error:
        raise MissingError(f"`{path}` cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise RequestError(f"`{path}` is no COCO file of instances: {where}: {first['msg']}", "mend it") from None


def _pictures(coco: _Coco, path: Path) -> list[_Picture]:
    """The pictures that have instances, in the file's order."""
    named = {annotation.image_id for annotation in coco.annotations}
    if unknown := named - {picture.id for picture in coco.images}:
        raise RequestError(f"`{path}` has instances of a picture {min(unknown)} that it does not list", "mend it")
    if len({picture.id for picture in coco.images}) < len(coco.images):
        raise RequestError(f"`{path}` lists two pictures with one `id`", "mend it")
    return [picture for picture in coco.images if picture.id in named]


def _names(pictures: Sequence[_Picture]) -> list[str]:
    """Of each picture, as files may be called: its own name's stem, its number where others have that too."""
    stems = [PurePosixPath(picture.file_name).stem for picture in pictures]
    twice = len(set(stems)) < len(stems)
    return [str(picture.id) for picture in pictures] if twice else stems


def _files(pictures: Sequence[_Picture], images: str, path: Path) -> list[Path]:
    """Where the pictures lie."""
    if not images:
        raise RequestError("a COCO file names pictures, but no folder of them", "set `data.images`")
    files = [Path(images) / picture.file_name for picture in pictures]
    if lacking := [file for file in files if not file.is_file()]:
        message = f"`{images}` lacks {len(lacking)} of the {len(files)} pictures of `{path.name}`, first `{lacking[0]}`"
        raise MissingError(message, "set `data.images` to the folder that `file_name` counts from")
    return files


def decoded(segmentation: list[Polygon] | _Runs, size: tuple[int, int], name: str) -> Mask:
    """The mask (H, W) of an annotation: the union of its polygons, or its run lengths, column by column."""
    if isinstance(segmentation, _Runs):
        return _unrolled(segmentation, size, name)
    try:
        from pycocotools import mask
    except ImportError:
        raise MissingError("polygons of COCO files need `pycocotools`", "pip install 'edgekd[coco]'") from None
    if any(len(polygon) % 2 for polygon in segmentation):
        raise RequestError(f"{name} has a polygon with half a point", "mend it")
    parts: NDArray[np.uint8] = mask.decode(mask.frPyObjects(segmentation, *size))
    whole: Mask = np.any(parts, axis=2)
    return whole


def _unrolled(runs: _Runs, size: tuple[int, int], name: str) -> Mask:
    height, width = size
    counts = list(_lengths(runs.counts)) if isinstance(runs.counts, str) else runs.counts
    if runs.size != size or min(counts, default=-1) < 0 or sum(counts) != height * width:
        raise RequestError(f"{name} has run lengths that do not fill its picture", "mend it")
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return np.ascontiguousarray(flat.reshape(width, height).T)


def _lengths(text: str) -> Iterator[int]:
    """Run lengths from COCO's characters: six bits each from `0` on, of which five count and the sixth says that more
    follow; signed, and from the fourth on the difference to the last but one (pycocotools, maskApi.c)."""
    earlier: list[int] = []
    value = bits = 0
    for code in (ord(character) - 48 for character in text):
        value |= (code & 31) << bits
        bits += 5
        if not code & 32:
            value -= (code & 16) << 1 << (bits - 5)
            earlier.append(value + (earlier[-2] if len(earlier) > 2 else 0))
            yield earlier[-1]
            value = bits = 0
