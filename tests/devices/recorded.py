"""A recorded board: a tree of its files, and programs that say what its programs said. See `recorded/README.md`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from edgekd.devices.state import State, parse
from edgekd.runners import board

RECORDED = Path(__file__).parent / "recorded"


def place(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Put a board's files under `folder` and its programs first in PATH; gives the root of the files."""
    recorded = json.loads((RECORDED / f"{name}.json").read_text())
    for file, text in recorded["files"].items():
        write(folder, file, text)
    programs: dict[str, str] = {}
    for command, text in recorded["commands"].items():
        program, _, arguments = command.partition(" ")
        test = f'case "$*" in "{arguments}"*)' if arguments else "case x in x)"
        programs[program] = programs.get(program, "#!/bin/sh\n") + f"{test} cat <<'END'\n{text}END\nexit;; esac\n"
    for program, script in programs.items():
        write(folder, f"bin/{program}", script).chmod(0o755)
    (folder / "bin").mkdir(exist_ok=True)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    return str(folder)


def write(folder: Path, file: str, text: str) -> Path:
    path = folder / file.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def state(folder: Path) -> State:
    """Read as on the board, passed on as JSON, parsed as on the host."""
    return parse(json.loads(json.dumps(board.read(root=str(folder)))))
