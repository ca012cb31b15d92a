"""This host as a device."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgekd.devices.base import Device, Say
from edgekd.devices.job import APT, Limits
from edgekd.errors import MissingError
from edgekd.runners import trt
from edgekd.schema.target import Reach

TICK = 0.1
"""Seconds between two looks at the agent."""
RUNNERS = {"ort": "onnxruntime", "ov": "openvino", "tfl": "ai_edge_litert", "trt": "trtexec", "imx": "picamera2"}
"""Runner to the package, or the program, it needs."""
VENDORS = {
    "trt": "it is part of TensorRT; on a host without it, use an engine that stands in for it",
    "imx": f"the sensor is on a Raspberry Pi: {APT['picamera2']}",
}
"""Runner to how its runtime comes to a host, where no registry of Python packages has it."""
EXTRAS = {"ov": "[openvino]", "tfl": "[litert]"}
"""Runner to the extra of ours that brings its package."""


def can_run(runner: str) -> bool:
    """Whether the runtime of a runner is installed here."""
    return trt.find() is not None if runner == "trt" else find_spec(RUNNERS[runner]) is not None


def how_to_get(runner: str) -> str:
    """How the runtime of a runner comes here."""
    return VENDORS.get(runner) or f"pip install 'edgekd{EXTRAS.get(runner, '')}'"


def open_session(runner: str, model: Path, options: dict[str, Any], expose: list[str] | None = None) -> Any:
    """A session of a runner, in this process. Raises MissingError where its runtime is not installed."""
    package = RUNNERS[runner]
    if not can_run(runner):
        raise MissingError(f"`{package}` is not installed", how_to_get(runner))
    module = import_module(f"edgekd.runners.{runner}")
    return module.Session(model, tuple(expose or ()), **options)


def is_board(reach: Reach) -> bool:
    """Whether this host is what a descriptor describes."""
    return reach.transport == "local" and platform.machine() in reach.machines


class Local(Device):
    """This host, in fresh processes. Who measures here at the same time waits for the other."""

    name, limits = "local", Limits(wait=3600, lease=30)

    def carry_out(self, folder: Path, say: Say) -> None:
        """Run the agent on a copy, which it removes, and keep its lease alive."""
        place = Path(tempfile.mkdtemp(prefix="edgekd-"))
        shutil.copytree(folder, place, symlinks=True, dirs_exist_ok=True)
        told, command = "", [sys.executable, str(place / "agent.py"), str(place)]
        with (folder / "agent.log").open("wb") as log:
            agent = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            while not (place / "done").exists() and agent.poll() is None:
                (place / "lease").touch()
                told = tell_progress(place / "progress.json", told, say)
                time.sleep(TICK)
            for file in (*place.glob("result.json"), *place.glob("[0-9]*.npz")):
                shutil.move(file, folder / file.name)
        finally:
            (place / "lease").unlink(missing_ok=True)
            agent.wait()
            shutil.rmtree(place, ignore_errors=True)


def tell_progress(file: Path, told: str, say: Say) -> str:
    """Say what the agent is busy with, once."""
    with suppress(OSError, ValueError):
        now = str(json.loads(file.read_text(encoding="utf-8"))["task"])
        if now != told:
            say(now)
        return now
    return told
