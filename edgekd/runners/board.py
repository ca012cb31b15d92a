"""What a board says of its own state, raw: texts of files and of commands. The host reads sense into it.

Standard library only. Nothing here raises for what a board does not have: it is absent from the result.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

INTERVAL = 0.08
"""Seconds between two samples of power: a little more than ten a second, which sensors that average do not outrun."""
TIMEOUT = 5.0
LIMIT = 1000
"""Characters kept of a file."""
FILES = (
    "/proc/device-tree/model", "/etc/os-release", "/etc/nv_tegra_release", "/proc/loadavg", "/proc/meminfo",
    "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
    "/sys/devices/system/cpu/cpu*/cpufreq/scaling_cur_freq",
    "/sys/devices/system/cpu/cpu*/cpufreq/scaling_max_freq",
    "/sys/devices/system/cpu/cpu*/cpufreq/cpuinfo_max_freq",
    "/sys/devices/system/cpu/cpu*/thermal_throttle/package_throttle_count",
    "/sys/class/thermal/thermal_zone*/type", "/sys/class/thermal/thermal_zone*/temp",
    "/sys/class/hwmon/hwmon*/oc*_event_cnt", "/sys/class/devfreq/*gpu*/cur_freq", "/sys/class/devfreq/*gpu*/max_freq",
)  # fmt: skip
PACKAGES = ("nvidia-l4t-core", "nvidia-jetpack", "tensorrt", "libnvinfer10", "libnvinfer11")
COMMANDS = {
    "nvpmodel": ["nvpmodel", "-q"],
    "dpkg": ["dpkg-query", "-W", "-f=${Package} ${Version}\\n", *PACKAGES],
    "throttled": ["vcgencmd", "get_throttled"],
    "arm_temperature": ["vcgencmd", "measure_temp"],
    "arm_clock": ["vcgencmd", "measure_clock", "arm"],
}
ROOT_COMMANDS = {"jetson_clocks": ["jetson_clocks", "--show"]}
MODULES = ("numpy", "onnxruntime", "openvino", "ai-edge-litert", "tflite-runtime", "tensorrt")


def read(sudo: bool = False, root: str = "/") -> dict[str, Any]:
    """Raw texts of the state now. `sudo`: `sudo -n` may be used, never asking for a password; `root`: of the files."""
    commands = dict(COMMANDS)
    for name, command in ROOT_COMMANDS.items():
        commands[name] = ["sudo", "-n", *command] if sudo and os.geteuid() else command
    texts = {name: said(command) for name, command in commands.items()}
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "uname": list(platform.uname())[:5],
        "cpus": os.cpu_count(),
        "cpu": cpu(root),
        "files": {name: text for pattern in FILES for name, text in texts_of(pattern, root)},
        "commands": {name: text for name, text in texts.items() if text is not None},
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the runtimes that are installed for it."""
    found = {"python": platform.python_version()}
    for name in MODULES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def cpu(root: str = "/") -> str:
    """The processor's name, where the kernel tells it (x86 does, Arm mostly not)."""
    lines = (text(Path(root, "proc/cpuinfo")) or "").splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def saturates(root: str = "/") -> bool:
    """Whether this CPU adds two products of uint8 and int8 in 16 bits, cut off at their ends: x86 without VNNI.

    True of x86 whose flags cannot be read. oneDNN documentation, "Nuances of int8 Computations".
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    return "vnni" not in (text(Path(root, "proc/cpuinfo")) or "")


def text(file: Path) -> str | None:
    """A file's text, or None where it cannot be read: some thermal zones fail while their block is off."""
    try:
        return file.read_bytes().decode("utf-8", "replace").replace("\0", "").strip()
    except OSError:
        return None


def texts_of(pattern: str, root: str) -> list[tuple[str, str]]:
    """Names, seen from `root`, and texts of the files that match."""
    pairs = [("/" + str(file.relative_to(root)), text(file)) for file in matching(pattern, root)]
    return [(name, found[:LIMIT]) for name, found in pairs if found]


def matching(pattern: str, root: str) -> list[Path]:
    """Files under `root` that match; none where it may not look."""
    try:
        return sorted(Path(root).glob(pattern.lstrip("/")))
    except OSError:
        return []


def said(command: Sequence[str]) -> str | None:
    """What a command prints, or None where it is not there, fails or takes too long."""
    found = shutil.which(command[0]) or shutil.which(command[0], path="/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        return None
    try:
        done = subprocess.run([found, *command[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, timeout=TIMEOUT)  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    out = done.stdout.decode("utf-8", "replace").strip()
    return out if out and (done.returncode == 0 or command[0] == "dpkg-query") else None


# Power


def power(root: str = "/") -> dict[str, Any]:
    """One sample: `t` (monotonic, s), `watts` by rail, `joules` counted by zone; empty where nothing tells."""
    return {"t": time.monotonic(), "watts": {**ina3221(root), **pmic()}, "joules": rapl(root)}


def ina3221(root: str = "/") -> dict[str, float]:
    """Rails of a Jetson's sensors, in W: voltage in mV times current in mA. Readable without root."""
    watts = {}
    for label in matching("/sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*/in[0-9]_label", root):
        number = label.name[2:-6]
        parts = [text(label.with_name(name)) for name in (f"in{number}_input", f"curr{number}_input")]
        name = text(label)
        if name and parts[0] and parts[1]:
            with suppress(ValueError):
                watts[name] = int(parts[0]) * int(parts[1]) / 1e6
    return watts


def pmic() -> dict[str, float]:
    """Rails of a Raspberry Pi 5's power chip, in W. What USB ports and hats draw is not among them."""
    found = {}  # type: dict[tuple[str, str], float]
    for line in (said(["vcgencmd", "pmic_read_adc"]) or "").splitlines():
        match = re.match(r"\s*(\w+)_([AV]) (?:current|volt)\(\d+\)=([\d.]+)[AV]", line)
        if match:
            found[match.group(1), match.group(2)] = float(match.group(3))
    return {rail: found[rail, "A"] * found[rail, "V"] for rail, kind in found if kind == "A" and (rail, "V") in found}


def rapl(root: str = "/") -> dict[str, list[float]]:
    """Energy counters of an x86 processor, each with the count after which it starts anew, in J. Mostly for root."""
    joules = {}
    for zone in matching("/sys/class/powercap/intel-rapl:[0-9]", root):
        name, *counts = (text(zone / file) or "" for file in ("name", "energy_uj", "max_energy_range_uj"))
        if name and all(count.isdigit() for count in counts):
            joules[f"{name} ({zone.name})"] = [int(count) / 1e6 for count in counts]
    return joules


class PowerLog:
    """Samples of power while a `with` block runs, in a thread; by tegrastats where the sensors' files tell nothing."""

    def __init__(self, interval: float = INTERVAL, root: str = "/") -> None:
        self.interval, self.root = interval, root
        self.samples = []  # type: list[dict[str, Any]]
        self.lines = []  # type: list[tuple[float, str]]
        self._stop = threading.Event()
        self._program = None  # type: subprocess.Popen[str] | None

    def __enter__(self) -> PowerLog:
        first = power(self.root)
        work = self._sample
        if not first["watts"] and not first["joules"]:
            self._program, work = self._tegrastats(), self._listen
        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        if self._program is not None:
            self._program.kill()
            self._program.wait()
        self._thread.join(TIMEOUT + 1)

    def _sample(self) -> None:
        while not self._stop.is_set():
            self.samples.append(power(self.root))
            self._stop.wait(self.interval)

    def _tegrastats(self) -> subprocess.Popen[str] | None:
        found = shutil.which("tegrastats")
        command = [found, "--interval", "100"] if found else []
        with suppress(OSError):
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                    stderr=subprocess.DEVNULL, text=True) if found else None  # fmt: skip
        return None

    def _listen(self) -> None:
        if self._program is not None and self._program.stdout is not None:
            for line in self._program.stdout:
                self.lines.append((time.monotonic(), line.strip()))


def watch(load: Callable[[], int], idle: float = 30.0, root: str = "/") -> dict[str, Any]:
    """Samples while nothing runs for `idle` seconds, then while `load` runs, which gives the inferences it made."""
    with PowerLog(root=root) as log:
        begin = time.monotonic()
        time.sleep(idle)
        middle = time.monotonic()
        count = load()
        end = time.monotonic()
    return {"samples": log.samples, "lines": log.lines, "idle": [begin, middle], "load": [middle, end], "count": count}


if __name__ == "__main__":
    print(json.dumps(read("--sudo" in sys.argv), indent=1))
