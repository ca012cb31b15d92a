"""Networks that see a crop as teachers: any ONNX or .tflite file, and a larger PicoSAM3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from edgekd.errors import MissingError, ProblemsError, RequestError, last_line
from edgekd.graph import answers
from edgekd.graph.model import Array, Graph, read_model
from edgekd.graph.records import has_record, misfits
from edgekd.graph.resize import Picture
from edgekd.graph.roi import MARGIN, Box, region
from edgekd.schema.io import ImageInput, IoRecord, MaskOutput
from edgekd.schema.load import parse, problems_of, read_toml
from edgekd.students.picosam3.network import ModelConfig, PicoSam3Net
from edgekd.students.picosam3.task import SegmentTask
from edgekd.students.picosam3.teachers.base import Answer
from edgekd.students.picosam3.upstream import load_upstream

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
"""How the authors' networks see pixels."""
CHANNELS_LAST = [0, 2, 3, 1]


@dataclass(frozen=True)
class CropNetwork:
    """Answers in the region of each box, by the io record; such a network has no estimate of its own."""

    io: IoRecord
    run: answers.Run

    def __call__(self, picture: Picture, boxes: Sequence[Box]) -> list[Answer]:
        """An answer for each box in a picture (H, W, 3)."""
        return [self._ask(picture, box) for box in boxes]

    def _ask(self, picture: Picture, box: Box) -> Answer:
        spec, output = self.io.inputs[0], self.io.outputs[0]
        margin = spec.region.margin if isinstance(spec, ImageInput) and spec.region else MARGIN
        roi = region(box, picture.shape[:2], margin)
        seen = np.ascontiguousarray(picture[roi.slices])
        logits = answers.decode_output(self.run(answers.encode(seen, self.io))[output.name], output)
        return Answer(np.asarray(logits, np.float32), roi, 1.0)


def open_model(path: Path) -> CropNetwork:
    """A model file; its io record lies in it, or beside it as `NAME.json`. Raises MissingError or RequestError."""
    if path.suffix.lower() not in (".onnx", ".tflite"):
        raise RequestError(f"`{path}` is no model file", "name an `.onnx` or a `.tflite` file")
    return _open_onnx(path) if path.suffix.lower() == ".onnx" else _open_tflite(path)


def _open_onnx(path: Path) -> CropNetwork:
    from edgekd.runners import ort

    graph = Graph(read_model(path))
    beside = path.with_suffix(".json")
    io = _segments(graph.io if has_record(graph) and not beside.exists() else _record(beside), path)
    if problems := misfits(graph, io):
        raise ProblemsError(problems)
    return CropNetwork(io, ort.Session(path, threads=torch.get_num_threads()).run)


def _open_tflite(path: Path) -> CropNetwork:
    try:
        from edgekd.runners import tfl
    except ImportError:
        raise MissingError("running `.tflite` files needs `ai-edge-litert`", "pip install 'edgekd[litert]'") from None
    io = _segments(_record(path.with_suffix(".json")), path)
    names = [io.inputs[0].name, io.outputs[0].name]
    try:
        session = tfl.Session(
            path, threads=torch.get_num_threads(), layouts=dict.fromkeys(names, CHANNELS_LAST), outputs=names[1:]
        )
        session.run({names[0]: np.zeros(io.inputs[0].shape, np.float32)})
    except (KeyError, ValueError, RuntimeError) as error:
        raise RequestError(f"`{path}` does not run as its io record says: {last_line(error)}", "see it") from None
    return CropNetwork(io, session.run)


def _record(path: Path) -> IoRecord:
    """An io record's file."""
    try:
        return IoRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        message = f"nothing tells how the teacher sees pixels: `{path}` does not exist"
        raise MissingError(message, "write its io record there, or name a model of edgekd, which carries one") from None
    except ValidationError as error:
        raise ProblemsError(problems_of(error, IoRecord, str(path))) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"io record `{path}` cannot be read: {last_line(error)}") from None


def _segments(io: IoRecord, path: Path) -> IoRecord:
    """The record of a network that takes a picture and gives a mask. Raises RequestError for another."""
    fits = len(io.inputs) == len(io.outputs) == 1 and isinstance(io.inputs[0], ImageInput)
    if not fits or not isinstance(io.outputs[0], MaskOutput):
        raise RequestError(f"`{path}` does not make one mask of one picture", "a teacher sees a crop and gives logits")
    crop = io.inputs[0].model_copy(update={"resize": "stretch"})
    return io.model_copy(update={"inputs": (crop,)})


def open_student(path: Path) -> CropNetwork:
    """A PicoSAM3 as edgekd saves it (`.safetensors`, its recipe beside as `NAME.toml`), or the authors' `.pt` file.

    Raises MissingError or RequestError.
    """
    if path.suffix in (".pt", ".pth"):
        io = SegmentTask({}, 0).io((96, 96))
        seen = io.inputs[0].model_copy(update=IMAGENET)
        return _torch(load_upstream(path), io.model_copy(update={"inputs": (seen,)}))
    table = read_toml(path.with_suffix(".toml"), "copy the recipe it was trained with there")
    net = PicoSam3Net(parse(ModelConfig, table.get("model", {}), "model"))
    try:
        net.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError, OSError) as error:
        raise RequestError(f"`{path}` does not fit its recipe: {str(error).splitlines()[0]}", "see `model`") from None
    task = SegmentTask(table.get("data", {}), 0)
    return _torch(net, task.io((task.config.side, task.config.side)))


def _torch(net: PicoSam3Net, io: IoRecord) -> CropNetwork:
    net.eval()

    @torch.inference_mode()
    def run(inputs: dict[str, Array]) -> dict[str, Array]:
        return {io.outputs[0].name: net(torch.from_numpy(inputs[io.inputs[0].name])).numpy()}

    return CropNetwork(io, run)
