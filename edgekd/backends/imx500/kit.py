"""The kit: the network for Sony's converter, the exact commands, probes with expected codes, scripts for the Pi."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import onnx
from PIL import Image

from edgekd.backends.base import Job, write_sums
from edgekd.backends.imx500.intrinsics import intrinsics, region_of, threshold_of
from edgekd.backends.imx500.packer import FILE as PACKED
from edgekd.backends.imx500.tensors import Tensor, inputs_of, outputs_of
from edgekd.devices.job import RUNNERS
from edgekd.errors import RequestError
from edgekd.graph.model import Array
from edgekd.schema.io import IoRecord

TEMPLATES = Path(__file__).parent / "kit"
MODEL, TOLD, FORMAT, INTRINSICS = "network.onnx", "network.json", "input_format.json", "network_intrinsics.json"
CONVERTED = "converted"


class KitOptions(Protocol):
    """What of the engine's options the kit is told."""

    @property
    def persistent(self) -> bool:
        """Whether the sensor keeps the picture it saw."""

    @property
    def format(self) -> Literal["RGB", "BGR"]:
        """Order of the colours that the network takes."""


def write_kit(model: onnx.ModelProto, job: Job, options: KitOptions, out: Path) -> None:
    """Write the kit of a network in the sensor's dialect into the folder `out`.

    Raises RequestError for a network that has not one input of pictures, or ends without quantizers.
    """
    given, outputs = the_input(model), outputs_of(model)
    onnx.save(model, out / MODEL)
    for number, (inputs, expected) in enumerate(zip(job.inputs, job.expected, strict=True)):
        _write_probe(out, number, pixels(inputs[job.graph.inputs[0]], given), options.format)
        for place, (name, tensor) in enumerate(zip(job.graph.outputs, outputs, strict=True)):
            np.save(out / f"expected-{number}-{place}.npy", codes(expected[name], tensor))
    io = job.graph.io
    _write_json(out / TOLD, _told(given, outputs, options, io) | {"probes": len(job.inputs)})
    _write_json(out / FORMAT, [{"ordinal": 0, "format": options.format}])
    _write_json(out / INTRINSICS, intrinsics(io))
    _write_scripts(out, given, outputs, options, io)
    write_sums(out)


def runner_options(model: onnx.ModelProto, options: KitOptions) -> dict[str, Any]:
    """What the runner of the sensor is told of a network."""
    given = the_input(model)
    shapes = {tensor.name: [1, *tensor.dims] for tensor in outputs_of(model)}
    return {"step": given.step, "signed": given.signed, "format": options.format, "outputs": shapes}


def the_input(model: onnx.ModelProto) -> Tensor:
    """The one input, pictures of three channels. Raises RequestError."""
    found = inputs_of(model)
    if len(found) != 1 or len(found[0].dims) != 3 or found[0].dims[0] != 3:
        shapes = ", ".join(f"`{t.name}` {list(t.dims)}" for t in found)
        raise RequestError(f"the sensor takes one input of pictures, not {shapes}", "give it (3, H, W) alone")
    return found[0]


def pixels(x: Array, given: Tensor) -> Array:
    """The pixels (H, W, 3), uint8, that the sensor turns into the codes of an input (1, 3, H, W): a code is the pixel,
    less 128 where codes are signed, whatever the threshold (facts of the packager's published logs)."""
    shifted: Array = codes(x, given).astype(np.int16) + 128 * given.signed
    return shifted.astype(np.uint8).transpose(1, 2, 0)


def codes(x: Array, tensor: Tensor) -> Array:
    """The codes of real values (1, ...), without the batch axis; int8 or uint8."""
    low, high = (-128, 127) if tensor.signed else (0, 255)
    code: Array = np.clip(np.rint(np.asarray(x, np.float64)[0] / tensor.step), low, high)
    return code.astype(np.int8 if tensor.signed else np.uint8)


def _write_probe(out: Path, number: int, picture: Array, order: str) -> None:
    """Channels are in the network's order in the array, and red first in the picture."""
    np.save(out / f"probe-{number}.npy", picture)
    seen = picture[..., ::-1] if order == "BGR" else picture
    Image.fromarray(np.ascontiguousarray(seen)).save(out / f"probe-{number}.png")


def _told(given: Tensor, outputs: list[Tensor], options: KitOptions, io: IoRecord) -> dict[str, Any]:
    """What the scripts read."""
    return {
        "input": given.name,
        "step": given.step,
        "signed": given.signed,
        "format": options.format,
        "outputs": [{"name": t.name, "dims": list(t.dims), "step": t.step} for t in outputs],
        "region": region_of(io),
        "threshold": threshold_of(io),
    }


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")


def _write_scripts(out: Path, given: Tensor, outputs: list[Tensor], options: KitOptions, io: IoRecord) -> None:
    """The templates, their marks filled in, and the runner that the scripts share."""
    shutil.copyfile(RUNNERS / "imx.py", out / "imx.py")
    marks = {
        "@CONVERT@": shlex.join(converter_arguments(options.persistent)),
        "@PACKAGE@": shlex.join(["-i", f"{CONVERTED}/{PACKED}", "-o", "packaged", "-f", FORMAT]),
        "@FORMAT@": options.format,
        "@BOX@": " --box 1500 900 800 600" if region_of(io) else "",
        "@INPUT@": _describe_input(given),
        "@OUTPUT@": " ".join(map(_describe_output, outputs)) + _describe_mask(io),
    }
    for template in sorted(TEMPLATES.glob("*.*")):
        text = template.read_text(encoding="utf-8")
        for mark, value in marks.items():
            text = text.replace(mark, value)
        (out / template.name).write_text(text, encoding="utf-8")


def converter_arguments(persistent: bool, model: str = MODEL, out: str = CONVERTED) -> list[str]:
    """What the converter is called with; without persistency the input's memory is used again within the network."""
    return ["-i", model, "-o", out, "--overwrite-output", *([] if persistent else ["--no-input-persistency"])]


def _describe_input(given: Tensor) -> str:
    _, height, width = given.dims
    code = "its pixel less 128" if given.signed else "its pixel"
    return f"{width} x {height} pixels of three channels, the code of each {code}"


def _describe_output(tensor: Tensor) -> str:
    return f"`{tensor.name}` has {' x '.join(map(str, tensor.dims))} codes of {tensor.step} each."


def _describe_mask(io: IoRecord) -> str:
    threshold = threshold_of(io)
    return "" if threshold is None else f" A pixel is inside where its value is above {threshold:g}."
