"""Tarballs from an npm registry."""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from edgekd.errors import MissingError
from edgekd.toolchains.lock import Source

CHUNK = 1 << 20
PATIENCE = 60.0
"""Seconds without a byte."""


def registry() -> str:
    """The registry's address: `$NPM_CONFIG_REGISTRY`, else what `npm` is configured for. Raises MissingError."""
    if own := os.environ.get("NPM_CONFIG_REGISTRY"):
        return own.rstrip("/")
    if (npm := shutil.which("npm")) is None:
        raise MissingError("no npm registry is known here", "set NPM_CONFIG_REGISTRY to its address, or install npm")
    done = subprocess.run([npm, "config", "get", "registry"], capture_output=True, text=True, check=False)
    return done.stdout.strip().rstrip("/")


def download(source: Source, out: Path, tick: Callable[[int, int], None]) -> Path:
    """A package's tarball into the folder `out`. Raises MissingError when it does not come, or not whole."""
    base = source.package.rpartition("/")[2]
    address = f"{registry()}/{source.package}/-/{base}-{source.version}.tgz"
    path = out / f"{base}-{source.version}.tgz"
    try:
        with urllib.request.urlopen(address, timeout=PATIENCE) as answer, path.open("wb") as file:
            size, done = int(answer.headers.get("Content-Length") or 0), 0
            while chunk := answer.read(CHUNK):
                done += file.write(chunk)
                tick(done, max(size, done))
    except (OSError, ValueError, HTTPException) as error:  # URLError is an OSError
        reason = getattr(error, "reason", None) or error
        raise MissingError(f"`{address}` cannot be downloaded: {reason}", "fetch with a network") from None
    if done < size:
        raise MissingError(f"`{address}` was cut off after {done} of {size} bytes", "fetch again")
    return path
