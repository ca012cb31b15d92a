"""Which teacher a source names, what of its files counts, and opening it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edgekd.graph.resize import Picture
from edgekd.graph.roi import Box
from edgekd.students.picosam3.data import LABELS, Instances
from edgekd.students.picosam3.teachers.base import Answer, MaskTeacher, TeacherConfig
from edgekd.students.sources import Kind, digests_of, found
from edgekd.toolchains.cache import locate

Sees = Callable[[Picture, Sequence[Box]], list[Answer]]
"""A teacher that needs the pixels alone."""
Opener = Callable[[Path, Instances], MaskTeacher]


def open_teacher(config: TeacherConfig, data: Instances) -> MaskTeacher:
    """The teacher of a recipe's `teacher` table for these pictures. Raises MissingError or RequestError."""
    kind, path = found(config.source, KINDS)
    return kind.open(path, data)


def digests(config: TeacherConfig) -> dict[str, str]:
    """SHA-256 of each file that the answers depend on, by name. Raises MissingError or RequestError."""
    return digests_of(config.source, KINDS)


def _seeing(sees: Sees, data: Instances) -> MaskTeacher:
    return lambda picture, boxes: sees(data.picture(picture), boxes)


def _litemedsam(path: Path, data: Instances) -> MaskTeacher:
    from edgekd.students.picosam3.teachers.litemedsam import LiteMedSamTeacher, load_litemedsam

    return _seeing(LiteMedSamTeacher(load_litemedsam(path)), data)


def _sam(model: str, hint: str, packages: Mapping[str, str]) -> Kind[Opener]:
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
KINDS: Mapping[str, Kind[Opener]] = {
    "litemedsam": Kind(_litemedsam, find=lambda _: locate("litemedsam") / "lite_medsam.pth"),
    "sam2": _sam("Sam2", SAM_2, TRANSFORMERS),
    "sam3": _sam("Tracker", SAM_3, TRANSFORMERS | TORCHVISION),
    "sam3-concept": _sam("Concept", SAM_3, TRANSFORMERS | TORCHVISION),
    "masks": Kind(_masks, "FOLDER", f"write a label map `NAME{LABELS}` for each picture there", counts=(f"*{LABELS}",)),
    "model": Kind(_model, "FILE", "name an `.onnx` or a `.tflite` file"),
    "student": Kind(_student, "FILE", "name the weights of a PicoSAM3, `.safetensors` or the authors' `.pt`"),
}
"""Every kind of source."""
