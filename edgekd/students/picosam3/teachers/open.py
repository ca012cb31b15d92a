"""Which teacher a source names, what of its files counts, and opening it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgekd.errors import MissingError, RequestError, nearest
from edgekd.graph.images import find_data
from edgekd.graph.resize import Picture
from edgekd.graph.roi import Box
from edgekd.resources import sha256
from edgekd.store import installed
from edgekd.students.picosam3.data import LABELS, Instances
from edgekd.students.picosam3.teachers.base import Answer, MaskTeacher, TeacherConfig
from edgekd.toolchains.cache import locate

Sees = Callable[[Picture, Sequence[Box]], list[Answer]]
"""A teacher that needs the pixels alone."""


@dataclass(frozen=True)
class Kind:
    """A kind of source; it is opened with the place that follows its name."""

    open: Callable[[Path, Instances], MaskTeacher]
    place: str = ""
    """What that place is; none: the kind has no place of its own."""
    hint: str = ""
    """How to come by one."""
    counts: tuple[str, ...] = ()
    """Patterns of the files that count in a folder."""
    find: Callable[[str], Path] = find_data
    packages: Mapping[str, str] = field(default_factory=dict)
    """Distributions that it needs, and how each is installed."""


def open_teacher(config: TeacherConfig, data: Instances) -> MaskTeacher:
    """The teacher of a recipe's `teacher` table for these pictures. Raises MissingError or RequestError."""
    kind, path = _found(config.source)
    return kind.open(path, data)


def digests(config: TeacherConfig) -> dict[str, str]:
    """SHA-256 of each file that the answers depend on, by name.

    Raises MissingError where one, or a package, is not here, RequestError for a source that is none.
    """
    kind, path = _found(config.source)
    files = {p for pattern in kind.counts for p in path.glob(pattern)} if path.is_dir() else _beside(path)
    return {p.name: sha256(p) for p in sorted(files) if p.is_file()}


def _beside(path: Path) -> set[Path]:
    """A file and those that belong to it by their name: settings, external data."""
    return {p for p in path.parent.iterdir() if p.name.startswith(f"{path.stem}.")}


def _found(source: str) -> tuple[Kind, Path]:
    """A source's kind, and where it lies."""
    name, _, place = source.partition(":")
    kind = KINDS.get(name)
    if kind is None:
        raise RequestError(f"no teacher is called `{source}`", nearest(name, list(KINDS)))
    if bool(place) != bool(kind.place):
        form = f"{name}:{kind.place}" if kind.place else name
        raise RequestError(f"the teacher `{source}` {'names no place' if kind.place else 'has no place'}", f"`{form}`")
    path = kind.find(place)
    if not path.exists():
        raise MissingError(f"the teacher's `{path}` does not exist", kind.hint)
    for package, command in kind.packages.items():
        if installed(package) == "absent":
            raise MissingError(f"the teacher `{name}` needs `{package}`", command)
    return kind, path


def _seeing(sees: Sees, data: Instances) -> MaskTeacher:
    return lambda picture, boxes: sees(data.picture(picture), boxes)


def _litemedsam(path: Path, data: Instances) -> MaskTeacher:
    from edgekd.students.picosam3.teachers.litemedsam import LiteMedSamTeacher, load_litemedsam

    return _seeing(LiteMedSamTeacher(load_litemedsam(path)), data)


def _sam(model: str, hint: str, packages: Mapping[str, str]) -> Kind:
    """A class of `sam.py`."""

    def opened(path: Path, data: Instances) -> MaskTeacher:
        from edgekd.students.picosam3.teachers import sam

        return _seeing(getattr(sam, model)(path), data)

    return Kind(opened, "FOLDER", hint, counts=SAM_FILES, packages=packages)


def _masks(path: Path, data: Instances) -> MaskTeacher:
    from edgekd.students.picosam3.teachers.masks import MaskFolder

    return MaskFolder(path, data)


def _model(path: Path, data: Instances) -> MaskTeacher:
    from edgekd.students.picosam3.teachers.networks import open_model

    return _seeing(open_model(path), data)


def _student(path: Path, data: Instances) -> MaskTeacher:
    from edgekd.students.picosam3.teachers.networks import open_student

    return _seeing(open_student(path), data)


TRANSFORMERS = {"transformers": "pip install 'edgekd[sam]'"}
TORCHVISION = {"torchvision": "pip install torchvision, from where torch was installed"}
SAM_FILES = ("*.safetensors", "*.json", "*.txt")
SAM_2 = "download facebook/sam2.1-hiera-tiny, -small, -base-plus or -large (Apache-2.0) from huggingface.co there"
SAM_3 = (
    "ask for facebook/sam3 on huggingface.co and download it there; its SAM License obliges you: what is made of it "
    "passes on under the same terms, named in publications, not for military use"
)
KINDS = {
    "litemedsam": Kind(_litemedsam, find=lambda _: locate("litemedsam") / "lite_medsam.pth"),
    "sam2": _sam("Sam2", SAM_2, TRANSFORMERS),
    "sam3": _sam("Tracker", SAM_3, TRANSFORMERS | TORCHVISION),
    "sam3-concept": _sam("Concept", SAM_3, TRANSFORMERS | TORCHVISION),
    "masks": Kind(_masks, "FOLDER", f"write a label map `NAME{LABELS}` for each picture there", counts=(f"*{LABELS}",)),
    "model": Kind(_model, "FILE", "name an `.onnx` or a `.tflite` file"),
    "student": Kind(_student, "FILE", "name the weights of a PicoSAM3, `.safetensors` or the authors' `.pt`"),
}
"""Every kind of source."""
