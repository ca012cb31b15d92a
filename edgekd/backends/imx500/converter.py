"""The vendor's converter: found where a person names it, called as a program of its own, watched until it ends.

It is never installed nor bundled: its licence is between its user and Sony. Options, stages of its log and names of its
files are those of public documentation and of logs that users published.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from edgekd.backends.imx500 import memory_report, packer, params
from edgekd.backends.imx500.kit import converter_arguments
from edgekd.errors import MissingError, RequestError
from edgekd.resources import free_memory

VARIABLE = "EDGEKD_IMX500_CONVERTER"
PROGRAM = "imxconv-pt"
LOG = "converter.log"
TIMEOUT = 3600.0
"""Seconds; a small network is reported to take 45."""
TICK = 0.1
TAIL = 8
"""Lines of the log that are told where it fails."""
MOST_BYTES = 64 * 2**20
FREE = 8 * 2**30
"""Bytes of free memory with less of which users saw the converter killed."""
STAGES = {
    "Converting ": "reading the network",
    "Converted successfully": "converted",
    "Starting SDSPconv": "compiling for the sensor",
    "ConvFe conversion finished": "front end done",
    "Dsp-Dnn-Parser finished": "network parsed",
    "LogicModel generated": "memory allocated",
    "Converter Backend successfully": "back end done",
    "packer zip successfully generated": "packed",
}
"""What the log says, and what is told of it."""


class ConverterError(RequestError):
    """The converter failed, was too slow, or left what is not whole."""


def find(given: Path | None) -> Path | None:
    """The converter: the path given, else the variable's; None where neither names one. Raises MissingError."""
    named = str(given) if given is not None else os.environ.get(VARIABLE, "")
    if not named:
        return None
    found = shutil.which(named)
    if found is None:
        whence = "`--converter`" if given is not None else f"`{VARIABLE}`"
        raise MissingError(f"{whence} names `{named}`, which is no program here", f"give the path of `{PROGRAM}`")
    return Path(found).resolve()


def version(program: Path) -> str:
    """What it says of itself; `unknown version` where it says nothing."""
    try:
        done = subprocess.run(
            [program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown version"
    lines = (done.stdout + done.stderr).decode("utf-8", "replace").split("\n")
    return next((line.strip()[:80] for line in lines if line.strip()), "unknown version")


def memory_note() -> str:
    """What to note of this host's free memory; empty where it suffices or is not told."""
    free = free_memory()
    if free is not None and free < FREE:
        return f"{free / 2**30:.1f} GiB of memory are free; the converter was seen killed with less than 8"
    return ""


def files_of(stem: str) -> tuple[str, ...]:
    """What it writes for a network of that name."""
    return params.FILE, packer.FILE, memory_report.FILE.format(stem), f"{stem}.pbtxt"


def convert(
    program: Path, model: Path, out: Path, log: Path, persistent: bool = True, timeout: float = TIMEOUT,
    say: Callable[[str], None] = lambda text: None,
) -> None:  # fmt: skip
    """Convert `model` into the empty folder `out`, what it says into the file `log`.

    Raises ConverterError where it fails or takes longer than `timeout` seconds.
    """
    command = [str(program), *converter_arguments(persistent, str(model), str(out))]
    code = _watch(command, log, timeout, say)
    if code is None:
        raise ConverterError(f"the converter did not end within {timeout:g} s: {tail(log)}", f"see `{log}`")
    if code:
        killed = "; it was killed, as happens where memory is short" if code in (-9, 137) else ""
        raise ConverterError(f"the converter ended with exit code {code}{killed}: {tail(log)}", f"see `{log}`")


def _watch(command: list[str], log: Path, timeout: float, say: Callable[[str], None]) -> int | None:
    """The exit code; None where time was up, and all that it started is ended then."""
    end = time.monotonic() + timeout
    with log.open("wb") as file:
        try:
            running = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )
        except OSError as error:
            raise ConverterError(
                f"the converter does not start: {error.strerror}", "see whether it runs by hand"
            ) from None
        told = _stages(log)
        try:
            while True:
                code = running.poll()
                for stage in next(told):
                    say(stage)
                if code is not None or time.monotonic() >= end:
                    return code
                time.sleep(TICK)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait()


def _stages(log: Path) -> Iterator[list[str]]:
    """Again and again, what has come to the log since the last look."""
    with log.open("rb") as file:
        while True:
            text = file.read(2**20).decode("utf-8", "replace")
            yield [said for key, said in STAGES.items() if key in text]


def _check_file(path: Path, log: Path) -> None:
    hint = f"see `{log}`" if log.is_file() else "convert again"
    if not path.is_file() or path.is_symlink():
        raise ConverterError(f"the converter left no `{path.name}`: {tail(log)}", hint)
    if not 0 < path.stat().st_size <= MOST_BYTES:
        raise ConverterError(f"the converter left `{path.name}` of {path.stat().st_size:,} bytes", hint)


def tail(log: Path) -> str:
    """The last lines of its log, in one."""
    if not log.is_file():
        return "it has no log"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = file.read().decode("utf-8", "replace").splitlines()
    kept = [line.strip() for line in lines if line.strip()][-TAIL:]
    return " | ".join(kept) or "its log is empty"


def read_outputs(out: Path, stem: str, log: Path) -> tuple[memory_report.MemoryReport, params.Params, str]:
    """Report, parameters and the converter's version as its archive has it.

    Raises ConverterError where not all of its files are there, RequestError where one is not understood.
    """
    for name in files_of(stem):
        _check_file(out / name, log)
    report = memory_report.parse_report(_small(out / memory_report.FILE.format(stem)))
    found = params.parse_params(_small(out / params.FILE))
    packed = packer.check_packer(out / packer.FILE)
    if params.parse_params(packed[params.FILE]) != found:
        raise RequestError(f"`{params.FILE}` in `{packer.FILE}` is not the one beside it", "convert again")
    return report, found, packer.converter_version(packed["manifest.json"])


def _small(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(params.MOST_BYTES + 1)
