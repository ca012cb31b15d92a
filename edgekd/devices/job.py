"""A job as a folder: what is asked goes in, what was found comes out. The other side is `edgekd/runners/`."""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import MissingError

Arrays = dict[str, NDArray[Any]]
Model = tuple[str, str, Path, Mapping[str, Any]]
RUNNERS = Path(__file__).parent.parent / "runners"
ALWAYS = ("agent", "worker", "board")
APT = {"picamera2": "sudo apt install imx500-all python3-picamera2"}
"""How packages are installed that belong to a device's system, not to a registry."""
LOCK = "/tmp/edgekd-device.lock"
"""One for all users of a machine, so that nobody measures beside anybody."""


@dataclass(frozen=True)
class Limits:
    """Seconds: to wait for a device in use, for a job beside its windows, and until one ends whose host is gone."""

    wait: float = 0.0
    timeout: float = 3600.0
    lease: float = 300.0
    lock: str = LOCK

    def beside(self, tasks: Sequence[Mapping[str, Any]]) -> Limits:
        """These, and the time that the tasks are told to take, where every model is timed by itself."""
        told = sum((t.get("idle", 0) + t.get("seconds", 0)) * len(t.get("models", (1,))) for t in tasks)
        return replace(self, timeout=self.timeout + told)


@dataclass(frozen=True)
class Result:
    """What a job found: of every task what it told and its arrays, one mapping an input."""

    host: str
    machine: str
    told: list[dict[str, Any]]
    arrays: dict[int, list[Arrays]]


def write_job(
    folder: Path, models: Sequence[Model], inputs: Sequence[Arrays], tasks: Sequence[Mapping[str, Any]], limits: Limits
) -> None:
    """Fill an empty folder; files are links to where they are."""
    (folder / "models").mkdir()
    listed = []
    for number, (name, runner, model, options) in enumerate(models):
        place = folder / "models" / str(number)
        place.mkdir()
        for file in model.parent.glob(escape(model.stem) + ".*"):  # weights may lie beside
            (place / file.name).symlink_to(file.resolve())
        listed.append(
            {"name": name, "runner": f"{runner}.py", "file": f"models/{number}/{model.name}", "options": options}
        )
    for runner in {*ALWAYS, *(model[1] for model in models)}:
        (folder / f"{runner}.py").symlink_to(RUNNERS / f"{runner}.py")
    np.savez(folder / "inputs.npz", **{f"{i}/{k}": v for i, row in enumerate(inputs) for k, v in row.items()})  # type: ignore[arg-type]
    times = {"wait": limits.wait, "timeout": limits.timeout, "lease": limits.lease}
    job = {"who": f"{_user()}@{platform.node()}", "lock": limits.lock, "limits": times}
    text = json.dumps(job | {"models": listed, "tasks": list(tasks)})
    (folder / "job.json").write_text(text, encoding="utf-8")
    (folder / "lease").touch()


def _user() -> str:
    """Who measures; a container may run as a number without a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def read_result(folder: Path, device: str) -> Result:
    """What the agent left. Raises MissingError with the first thing that went wrong on `device`."""
    file = folder / "result.json"
    if not file.exists():
        raise MissingError(f"`{device}` gave no result", _last_line(folder / "agent.log"))
    found = json.loads(file.read_text(encoding="utf-8"))
    for error in (found.get("error"), *(told.get("error") for told in found["results"])):
        if error:
            raise MissingError(*explain(error["kind"], error["message"], device))
    return Result(found["host"], found["machine"], found["results"], read_arrays(folder, len(found["results"])))


def read_arrays(folder: Path, tasks: int) -> dict[int, list[Arrays]]:
    """Arrays of every task that gave some, one mapping an input."""
    out = {}
    for number in range(tasks):
        if (path := folder / f"{number}.npz").exists():
            rows: dict[int, Arrays] = {}
            with np.load(path, allow_pickle=False) as file:
                for entry in file.files:
                    row, name = entry.split("/", 1)
                    rows.setdefault(int(row), {})[name] = file[entry]
            out[number] = [rows[row] for row in sorted(rows)]
    return out


def explain(kind: str, message: str, device: str) -> tuple[str, str]:
    """An agent's error as a sentence and a hint."""
    sentence, hint = {
        "busy": ("is in use by {}", "wait until it is free"),
        "numpy": ("lacks numpy: {}", "install it there, `pip install numpy`, or name another Python: `?python=PATH`"),
        "runtime": ("lacks a runtime: {}", f"install it there: `{_install(_package(message))}`"),
        "memory": ("has too little memory: {}", "end other programs there, or take a smaller network"),
        "disk": ("has a full disk: {}", "make room there, or name a folder elsewhere: `?folder=PATH`"),
        "model": ("does not run the model: {}", "compare the runtime's version there with that which compiled it"),
        "sensor": (
            "cannot run it in its sensor: {}",
            "`edgekd firmware` writes a folder whose README.md tells each step",
        ),
        "killed": ("ended the job: {}", "memory may be short there; look into its system log"),
        "timeout": ("was too slow: {}", "ask for less: `--runs`, `--seconds`, `--samples`"),
        "lease": ("ended the job: {}", "see whether the connection is stable"),
    }.get(kind, ("ended the job: {}", ""))
    return f"`{device}` " + sentence.format(message), hint


def _install(package: str) -> str:
    return APT.get(package, f"pip install {package}")


def _package(message: str) -> str:
    """The package that a failed import names, as registries spell it."""
    named = re.search(r"'([\w.]+)'", message)
    return named.group(1).partition(".")[0].replace("_", "-") if named else "PACKAGE"


def _last_line(file: Path) -> str:
    lines = file.read_text(encoding="utf-8", errors="replace").strip().splitlines() if file.exists() else []
    return lines[-1] if lines else ""
