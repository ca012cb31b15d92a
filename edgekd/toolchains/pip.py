"""Wheels through pip, with the index, proxy and certificates that the user's configuration names."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from edgekd.errors import MissingError
from edgekd.toolchains.lock import Requirement, Source

LOCKED = ("--no-deps", "--require-hashes", "--only-binary", ":all:")
QUIET = ("--quiet", "--no-input", "--disable-pip-version-check", "--retries", "2")
UNREACHED = ("NewConnectionError", "ConnectTimeoutError", "NameResolutionError", "ProxyError", "ReadTimeoutError",
             "Connection refused", "IncompleteRead", "Connection broken", "Could not fetch URL")  # fmt: skip


def download(source: Source, out: Path) -> Path:
    """A package's wheel into the folder `out`. Raises MissingError."""
    requirement = Requirement(name=source.package, version=source.version, sha256=(source.sha256,))
    tags = [
        "--python-version", source.python, "--platform", source.platform, "--implementation", "cp",
        "--abi", "cp" + source.python.replace(".", ""),
    ] if source.python else []  # fmt: skip
    _pip(["download", *tags, "--dest", str(out)], [requirement])
    return next(out.glob("*.whl"))


def install(requirements: Sequence[Requirement], folder: Path) -> None:
    """A Python environment in `folder`, which stays where it is, with these packages alone. Raises MissingError."""
    venv.create(folder, with_pip=False, symlinks=True)
    _pip(["--python", str(folder / "bin" / "python"), "install", "--no-user", "--no-compile"], requirements)


def _pip(arguments: Sequence[str], requirements: Sequence[Requirement]) -> None:
    if find_spec("pip") is None:
        raise MissingError("pip is not installed", f"{sys.executable} -m ensurepip")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    with TemporaryDirectory() as temporary:
        listed = Path(temporary) / "requirements.txt"
        listed.write_text("".join(r.line() + "\n" for r in requirements), encoding="utf-8")
        command = [sys.executable, "-m", "pip", *arguments, *LOCKED, *QUIET, "-r", str(listed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=temporary)
    if done.returncode:
        raise _told(done.stderr, ", ".join(f"{r.name} {r.version}" for r in requirements))


def _told(text: str, what: str) -> MissingError:
    """pip's own words as one sentence."""
    if "DO NOT MATCH THE HASHES" in text:
        return MissingError(
            f"the package index gives something else for {what} than what is locked",
            "fetch again; if it stays so, that index is not to be trusted",
        )
    if any(word in text for word in UNREACHED):
        return MissingError(f"{what} cannot be downloaded: the package index is not reached", "fetch with a network")
    errors = [line.removeprefix("ERROR: ") for line in text.splitlines() if line.startswith("ERROR")]
    return MissingError(f"pip has no {what}: {(errors or ['it fails'])[-1]}", "another Python or machine may be needed")
