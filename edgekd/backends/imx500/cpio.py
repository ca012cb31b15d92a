"""CPIO archives of the portable form with hexadecimal fields, `newc` (cpio(5)): read, and written again."""

from __future__ import annotations

from dataclasses import dataclass

from edgekd.errors import RequestError

MAGIC, FIELDS, HEADER = b"070701", 13, 110
SIZE, NAME_SIZE = 6, 11
"""Which of the fields hold the sizes of data and name."""
MODE, LINKS = 1, 4
TRAILER = "TRAILER!!!"
MOST = 64
"""Most members of an archive that is read."""


@dataclass(frozen=True)
class Member:
    """A file: its name, its bytes, and the 13 numbers of its header, whose sizes are those of name and bytes."""

    name: str
    data: bytes
    fields: tuple[int, ...] = (0, 0o100644, 0, 0, 1, *(0,) * (FIELDS - 5))


def read(data: bytes) -> list[Member]:
    """The members, without the trailer. Raises RequestError where the archive is not whole."""
    out: list[Member] = []
    at = 0
    while True:
        member, at = _member(data, at)
        if member.name == TRAILER:
            return out
        out.append(member)
        if len(out) > MOST:
            raise RequestError(f"its archive has more than {MOST} members")


def _member(data: bytes, at: int) -> tuple[Member, int]:
    header = data[at : at + HEADER]
    if len(header) < HEADER or not header.startswith(MAGIC):
        raise RequestError(f"its archive has no header at byte {at}")
    try:
        fields = tuple(int(header[i : i + 8].decode("ascii"), 16) for i in range(len(MAGIC), HEADER, 8))
    except ValueError:
        raise RequestError(f"its archive's header at byte {at} is damaged") from None
    if min(fields) < 0:
        raise RequestError(f"its archive's header at byte {at} is damaged")
    name_at = at + HEADER
    data_at = _round(name_at + fields[NAME_SIZE])
    end = data_at + fields[SIZE]
    if end > len(data):
        raise RequestError(f"its archive ends within the member at byte {at}")
    name = data[name_at : name_at + fields[NAME_SIZE]].rstrip(b"\0").decode("utf-8", "replace")
    return Member(name, data[data_at:end], fields), _round(end)


def write(members: list[Member]) -> bytes:
    """An archive of these and the trailer, filled up to whole blocks of 512 bytes."""
    out = bytearray()
    for member in [*members, Member(TRAILER, b"", (0, 0, 0, 0, 1, *(0,) * (FIELDS - 5)))]:
        name = member.name.encode() + b"\0"
        fields = list(member.fields)
        fields[SIZE], fields[NAME_SIZE] = len(member.data), len(name)
        out += MAGIC + b"".join(b"%08X" % field for field in fields) + name
        out += bytes(_round(len(out)) - len(out)) + member.data
        out += bytes(_round(len(out)) - len(out))
    return bytes(out + bytes(-len(out) % 512))


def _round(size: int) -> int:
    return -(-size // 4) * 4
