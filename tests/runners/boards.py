"""A folder with a trtexec that replays recordings, to be put where the program is looked for."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

PROGRAM, RECORDED = (Path(__file__).parent / name for name in ("trtexec.py", "recorded"))


def recorded_trtexec(folder: Path, version: str, **answers: np.ndarray) -> Path:
    """An executable `trtexec` in `folder` that gives out `answers`."""
    path = folder / "trtexec"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{PROGRAM}" {version} "{folder}" "$@"\n')
    path.chmod(0o755)
    entries = [
        {"name": name, "dimensions": "x".join(map(str, value.shape)), "values": value.ravel().tolist()}
        for name, value in answers.items()
    ]
    (folder / "answer.json").write_text(json.dumps(entries))
    return path
