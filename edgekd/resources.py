"""Where shipped files lie, `targets/` and `calibration/`, and those that edgekd keeps; what this host has free."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

_PACKAGE = Path(__file__).parent


def folder(name: str) -> Path:
    """The shipped folder `name`: inside an installed package, or beside it in a checkout."""
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def cache_root() -> Path:
    """The folder of what edgekd keeps on this machine: `$EDGEKD_CACHE`, else `edgekd` in `$XDG_CACHE_HOME` or in
    `~/.cache`."""
    if own := os.environ.get("EDGEKD_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgekd"


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def free_memory() -> int | None:
    """Bytes of memory that Linux calls available; None where it is not told."""
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("MemAvailable:")))
    return None
