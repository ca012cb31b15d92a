"""`packerOut.zip`, which the vendor's converter writes and `imx500-package` on the Raspberry Pi reads.

Its members are read for a check and never written under their own names.
"""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from pathlib import Path

from edgekd.errors import RequestError

FILE = "packerOut.zip"
MEMBERS = (
    "sdpsA.bin", "sdpsC.bin", "cfgA.bin", "cfgC.bin", "l2staticData.bin", "dnnParams.xml", "dnnParams.xsd",
    "verTable.txt", "manifest.json",
)  # fmt: skip
"""Those of converter 3.14; a newer one may add to them."""
MOST_BYTES = 64 * 2**20
"""Most bytes of the file, and of all its members together; the chip holds 8 MiB."""
_PLAIN = re.compile(r"\w[\w.-]{0,79}", re.ASCII)
SMALL = ("dnnParams.xml", "manifest.json")
SMALL_BYTES = 2**20


def check_packer(path: Path) -> dict[str, bytes]:
    """The small members by name, after every member was read whole. Raises RequestError with what is wrong."""
    if path.stat().st_size > MOST_BYTES:
        raise RequestError(f"`{FILE}` has {path.stat().st_size:,} bytes, more than the chip could hold")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_names(archive)
            return {i.filename: data for i in archive.infolist() if (data := _read(archive, i)) is not None}
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise RequestError(f"`{FILE}` is damaged: {error}") from None


def _check_names(archive: zipfile.ZipFile) -> None:
    listed = archive.infolist()
    names = [info.filename for info in listed]
    odd = [name for name in names if not _PLAIN.fullmatch(name)]
    if odd:
        raise RequestError(f"`{FILE}` holds `{odd[0][:80]}`, which is no plain name of a file")
    lacking = [name for name in MEMBERS if name not in names]
    if lacking or len(names) != len(set(names)):
        what = f"lacks `{lacking[0]}`" if lacking else "holds a member twice"
        raise RequestError(f"`{FILE}` {what}")
    if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in listed):
        raise RequestError(f"`{FILE}` is compressed in another way than stored or deflated")
    if (whole := sum(info.file_size for info in listed)) > MOST_BYTES:
        raise RequestError(f"`{FILE}` would unfold to {whole:,} bytes, more than the chip could hold")


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes | None:
    """A small member; others are read for their checksum alone. No more is unfolded than the listing says."""
    if info.filename in SMALL:
        if info.file_size > SMALL_BYTES:
            raise RequestError(f"`{FILE}`: `{info.filename}` has {info.file_size:,} bytes")
        return archive.read(info)
    with archive.open(info) as member:
        while member.read(2**16):
            pass
    return None


def converter_version(manifest: bytes) -> str:
    """`0314150000000000` in the manifest is converter 3.14.15; empty where it does not say so."""
    try:
        told = json.loads(manifest)
        digits = str(told["dnnModelVersion"]) if isinstance(told, dict) else ""
    except (ValueError, KeyError, RecursionError):
        return ""
    if len(digits) != 16 or not (digits.isascii() and digits.isdigit()):
        return ""
    return ".".join(str(int(digits[i : i + 2])) for i in (0, 2, 4))
