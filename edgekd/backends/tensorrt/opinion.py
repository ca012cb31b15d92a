"""A second opinion without a GPU: the parser and builder of TensorRT-RTX, a sister of what runs on the board."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekd.errors import MissingError, Problem
from edgekd.toolchains.cache import python_of

LOCK = "tensorrt-rtx"
_SCRIPT = Path(__file__).with_name("rtx.py")
_TIMEOUT = 600
_HINT = "it is not the board's TensorRT: build the kit there to know"


def second_opinion(models: Sequence[Path]) -> tuple[dict[str, Any], list[Problem]]:
    """What it says to each file, as a fact, and what it refuses; nothing where it was not fetched."""
    try:
        python = python_of(LOCK)
    except MissingError:
        return {}, []
    command = [str(python), str(_SCRIPT), *map(str, models)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT)
        told = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError, OSError) as error:
        reason = f"no answer within {_TIMEOUT} s" if isinstance(error, subprocess.TimeoutExpired) else "it crashed"
        return {"second opinion": f"TensorRT-RTX: {reason}"}, []
    tool = f"TensorRT-RTX {told['version']} parser, not the device"
    files = {Path(name).name: found for name, found in told["files"].items()}
    accepted = {name: f"accepted, {found['layers']} layers" for name, found in files.items() if found["built"]}
    return {"second opinion": {"tool": tool} | accepted}, [p for n, f in files.items() for p in _refused(tool, n, f)]


def _refused(tool: str, name: str, found: dict[str, Any]) -> list[Problem]:
    """The parser's errors; or that the network it read could not be built."""
    if found["built"]:
        return []
    told = [(": ".join(filter(None, (name, e["node"] or e["operator"]))), e["text"]) for e in found["errors"]]
    told = told or [(name, text) for text in found["logged"][:1]] or [(name, "read, but not built")]
    return [Problem(where, f"{tool}: {' '.join(text.split())}", _HINT) for where, text in told]
