"""Run a network in Sony's IMX500, the sensor of Raspberry Pi's AI camera, with picamera2.

The sensor is its own clock: it tells how long each frame's network took. Inputs are injected in the place of pixels,
which needs the line `dtoverlay=imx500,bypass-cache` in the Pi's `config.txt`. Layouts are picamera2's and libcamera's:
codes channel after channel, rows filled up to 32 columns, an even number of rows; an injected input's answer is known
by the counter of its frame.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import struct
import subprocess
import tempfile
import time
from importlib import metadata as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from picamera2 import Picamera2
from picamera2.devices import IMX500

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

SET_CONTROL = 0xC008561C
"""VIDIOC_S_CTRL of Linux's V4L2: a control's number and its value, 32 bits each."""
INPUT_TENSOR = 0x00982904
"""The control that takes the file of an input to inject."""
INFO_BYTES, FRAME_COUNT = 712, 708
"""Size of the description of outputs in a frame's metadata, and where in it the frame's counter lies."""
RATE = 30.0
PATIENCE = 20.0
"""Seconds to wait for an answer, and for a first frame."""


class SensorError(RuntimeError):
    """What keeps a network from the sensor."""

    kind = "sensor"


def tool() -> str:
    """What measures: picamera2 and its version."""
    try:
        return f"picamera2 {installed.version('picamera2')}, IMX500"
    except installed.PackageNotFoundError:
        return "picamera2, IMX500"


TOOL = tool()


class Camera:
    """The sensor with a network in it, taking pictures. Made before anything else uses the camera.

    Raises SensorError where there is no sensor, or no firmware for it.
    """

    def __init__(self, firmware: Path, format: str = "RGB", rate: float = RATE, inject: bool = False) -> None:
        self._folder = tempfile.TemporaryDirectory()
        file = ready(firmware, Path(self._folder.name), format)
        try:
            self.sensor = IMX500(str(file), tensor_injection=True) if inject else IMX500(str(file))
        except RuntimeError as error:  # how picamera2 says that it finds none
            raise SensorError(str(error)) from None
        self.camera = Picamera2(self.sensor.camera_num)
        self.camera.start(
            self.camera.create_preview_configuration(controls={"FrameRate": rate}, buffer_count=12), show_preview=False
        )

    def look_at(self, region: tuple[int, int, int, int]) -> None:
        """Give the network this region: left, top, width, height in pixels of the whole sensor, 4056 x 3040."""
        self.sensor.set_inference_roi_abs(region)

    def frames(self, seconds: float) -> Iterator[dict[str, Any]]:
        """What is told of each frame, for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            yield self.camera.capture_metadata()

    def results(self, seconds: float) -> Iterator[tuple[list[NDArray[Any]] | None, tuple[float, float] | None]]:
        """Outputs of each frame, and milliseconds that network and post-processor took; None without a result."""
        for told in self.frames(seconds):
            outputs = self.sensor.get_outputs(told)
            yield outputs, (IMX500.get_kpi_info(told) if outputs is not None else None)

    def answer(self, data: bytes) -> list[NDArray[Any]]:
        """Outputs for an injected input. Raises SensorError where none comes."""
        wanted = self._put(data)
        for told in self.frames(PATIENCE):
            counter = frame_count(told)
            outputs = self.sensor.get_outputs(told) if counter is not None else None
            if counter is None or outputs is None:
                continue
            late = (counter - wanted + 128) % 256 - 128
            if late == 0:
                return list(outputs)
            if late > 0:  # its frame went by unseen
                wanted = self._put(data)
        hint = "`dtoverlay=imx500,bypass-cache` in config.txt and a restart are needed for that"
        raise SensorError(f"the sensor gave no answer to an injected input within {PATIENCE:g} s; {hint}")

    def _put(self, data: bytes) -> int:
        """Inject an input; the counter of the frame that will answer it."""
        if not hasattr(self.sensor, "get_injection_cmp_frm"):
            raise SensorError("this picamera2 injects no inputs; a newer one does: sudo apt full-upgrade")
        memory = os.memfd_create("input")
        try:
            os.write(memory, data)
            fcntl.ioctl(self.sensor.device_fd, SET_CONTROL, struct.pack("=Ii", INPUT_TENSOR, memory))
        finally:
            os.close(memory)
        return int(self.sensor.get_injection_cmp_frm())

    def close(self) -> None:
        """Give the camera back."""
        self.camera.close()
        self._folder.cleanup()


def ready(file: Path, folder: Path, format: str = "RGB") -> Path:
    """A file that the sensor takes; what the converter left is packaged into `folder`. Raises SensorError."""
    if file.suffix == ".rpk":
        return file
    if file.suffix != ".zip":
        raise SensorError(f"{file.name} is no firmware: run `edgekd firmware` with a converter, then imx500-package")
    program = shutil.which("imx500-package")
    if program is None:
        raise SensorError("imx500-package is not here: sudo apt install imx500-tools")
    order = folder / "input_format.json"
    order.write_text(json.dumps([{"ordinal": 0, "format": format}]), encoding="ascii")
    command = [program, "-i", str(file), "-o", str(folder), "-f", str(order)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode or not (folder / "network.rpk").is_file():
        lines = done.stdout.decode("utf-8", "replace").strip().splitlines() or ["it says nothing"]
        raise SensorError(f"imx500-package failed: {lines[-1]}")
    return folder / "network.rpk"


def frame_count(told: dict[str, Any]) -> int | None:
    """The counter of a frame, 0 to 255; None where the frame has no outputs, or libcamera is too old to tell."""
    info = bytes(told.get("CnnOutputTensorInfo") or b"")
    return info[FRAME_COUNT] if len(info) == INFO_BYTES else None


def codes(x: NDArray[Any], step: float, signed: bool) -> NDArray[Any]:
    """Codes of an input as its quantizer makes them."""
    low, high = (-128, 127) if signed else (0, 255)
    return np.clip(np.rint(np.asarray(x) / step), low, high).astype(np.int8 if signed else np.uint8)


def planes(code: NDArray[Any]) -> bytes:
    """Codes (C, H, W) as they are injected."""
    _, height, width = code.shape
    return np.pad(code, ((0, 0), (0, height % 2), (0, -width % 32))).tobytes()


class Session:
    """A network in the sensor whose inputs are injected. `step`, `signed`: the grid of its input's codes; `outputs`:
    shape of each output by name, in order; `format`: order of colours.
    """

    def __init__(
        self, model: Path, expose: Sequence[str] = (), threads: int = 1, step: float = 1 / 128, signed: bool = True,
        outputs: dict[str, list[int]] | None = None, format: str = "RGB",
    ) -> None:  # fmt: skip
        if expose:
            raise SensorError("the sensor shows no tensors inside its network")
        self._step, self._signed, self._outputs = step, signed, outputs or {}
        self._camera = Camera(Path(model), format, inject=True)

    def feed(self, inputs: Arrays) -> bytes:
        """Inputs as the sensor takes them."""
        (x,) = inputs.values()
        return planes(codes(x[0], self._step, self._signed))

    def call(self, fed: bytes) -> list[NDArray[Any]]:
        """One inference."""
        return self._camera.answer(fed)

    def run(self, inputs: Arrays) -> Arrays:
        """Outputs by name, the batch axis put back."""
        raw = self.call(self.feed(inputs))
        if len(raw) != len(self._outputs):
            raise SensorError(f"the firmware gives {len(raw)} outputs, the network has {len(self._outputs)}")
        pairs = zip(self._outputs.items(), raw)
        return {name: np.asarray(value, np.float32).reshape(shape) for (name, shape), value in pairs}

    def __del__(self) -> None:
        if hasattr(self, "_camera"):
            self._camera.close()


def watch(camera: Camera, frames: int, most: float, warmup: int = 0, least: float = 0.0) -> dict[str, Any]:
    """Times in ms of frames with a result, after `warmup` of these: of `frames` and for `least` seconds at least, but
    no longer than `most` seconds; how many frames there were in all, and how many without a result."""
    rows, whole = [], 0  # type: list[tuple[float, float]], int
    end = time.monotonic() + least
    for _, times in camera.results(most):
        if warmup:
            warmup -= times is not None
            continue
        whole += 1
        if times is not None:
            rows.append(times)
        if len(rows) >= frames and time.monotonic() >= end:
            break
    return {"dnn_ms": [row[0] for row in rows], "dsp_ms": [row[1] for row in rows], "frames": whole,
            "without_result": whole - len(rows)}  # fmt: skip


def time_model(
    model: Path, options: dict[str, Any], inputs: Arrays, warmup: int, runs: int, seconds: float
) -> dict[str, Any]:
    """Seconds of every timed frame as the sensor tells them: network and post-processor one after the other, which is
    the most it can have been. What the camera sees does not matter. `busy`: when it ran (monotonic, s)."""
    camera = Camera(Path(model), options.get("format", "RGB"))
    try:
        begin = time.monotonic()
        most = seconds + PATIENCE + 4 * (warmup + runs) / RATE  # a sensor as slow as that has no frame's time
        found = watch(camera, runs, most, warmup, seconds)
        end = time.monotonic()
    finally:
        camera.close()
    both = list(zip(found["dnn_ms"], found["dsp_ms"]))
    if not both:
        raise SensorError(f"none of {found['frames']} frames had a result")
    return {
        "seconds": [(dnn + dsp) / 1e3 for dnn, dsp in both],
        "dnn_seconds": [dnn / 1e3 for dnn, _ in both],
        "dsp_seconds": [dsp / 1e3 for _, dsp in both],
        "frames_without_result": found["without_result"] / found["frames"],
        "busy": [begin, end],
        "method": "the sensor's own clock: network and post-processor of each frame, added",
    }


def describe(found: dict[str, Any]) -> dict[str, Any]:
    """What `watch` found in a few numbers."""
    spread = {key: {f"p{q}": round(float(np.percentile(found[key], q)), 3) for q in (50, 95)}
              for key in ("dnn_ms", "dsp_ms") if found[key]}  # fmt: skip
    share = found["without_result"] / found["frames"] if found["frames"] else 1.0
    return dict(spread, frames=found["frames"], without_result=found["without_result"], share_without=round(share, 4))
