"""Firmware files of the sensor, `.rpk`: read, checked against a network, given other intrinsics.

The form is read off picamera2 (BSD-2-Clause, `imx500.py`) and the files that Raspberry Pi publishes: blocks of a
60-byte header (`9464`, size of the payload in big-endian 32 bits, 8 bytes of flags), payload and `3695`, 32 bytes more
where bit 0 of the seventh flag locks the block to a device; then a CPIO archive that says what the network takes and
gives. The blocks themselves are the vendor's and are never changed.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgekd.backends.imx500 import cpio
from edgekd.backends.imx500.network_info import NetworkInfo, parse
from edgekd.errors import MissingError, RequestError

MOST_BYTES = 64 * 2**20
"""Largest file that is read; the chip holds 8 MiB."""
HEADER, FOOTER, LOCK_BYTES = 60, 4, 32
INFO, INTRINSICS = "network_info.txt", "network_intrinsics"
AGAIN = "package it again with `imx500-package`, or copy it once more"


@dataclass(frozen=True)
class Block:
    """A block of firmware: bytes of its payload, and whether it is locked to a device."""

    size: int
    locked: bool


@dataclass(frozen=True)
class Rpk:
    """A firmware file: its blocks as bytes and one by one, and the members of its archive."""

    head: bytes
    blocks: tuple[Block, ...]
    members: tuple[cpio.Member, ...]
    info: NetworkInfo
    intrinsics: dict[str, Any] | None
    """What is told to programs that use it."""

    @property
    def locked(self) -> bool:
        """Whether it runs on one device alone."""
        return any(block.locked for block in self.blocks)

    def with_intrinsics(self, told: dict[str, Any]) -> Rpk:
        """The same firmware with these intrinsics."""
        kept = [m for m in self.members if m.name != INTRINSICS]
        new = cpio.Member(INTRINSICS, json.dumps(told).encode())
        return replace(self, members=(*kept, new), intrinsics=told)

    def write(self) -> bytes:
        """The file."""
        return self.head + cpio.write(list(self.members))


def read_rpk(path: Path) -> Rpk:
    """A firmware file, whole. Raises MissingError where there is none, RequestError where it is damaged."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise MissingError(f"`{path}` does not exist", "`imx500-package` on a Raspberry Pi makes it") from None
    try:
        return parse_rpk(data)
    except RequestError as error:
        raise RequestError(f"`{path}` is no whole firmware file: {error.message}", AGAIN) from None


def parse_rpk(data: bytes) -> Rpk:
    """A firmware file's bytes. Raises RequestError with what is wrong."""
    if len(data) > MOST_BYTES:
        raise RequestError(f"it is larger than {MOST_BYTES >> 20} MiB")
    blocks, at = list[Block](), 0
    while data[at : at + 4] == b"9464":
        block, at = _block(data, at, len(blocks) + 1)
        blocks.append(block)
    if not blocks:
        raise RequestError("it does not begin with a block of firmware")
    (wanted,) = struct.unpack_from(">H", data, 8)
    if len(blocks) != wanted:
        raise RequestError(f"it has {len(blocks)} of {wanted} blocks")
    members = tuple(cpio.read(data[at:]))
    held = {member.name: member.data for member in members}
    return Rpk(data[:at], tuple(blocks), members, parse(held.get(INFO, b"")), _intrinsics(held.get(INTRINSICS)))


def _intrinsics(data: bytes | None) -> dict[str, Any] | None:
    try:
        found = None if data is None else json.loads(data)
    except (ValueError, RecursionError):
        raise RequestError(f"its `{INTRINSICS}` are no JSON") from None
    if not isinstance(found, dict | None):
        raise RequestError(f"its `{INTRINSICS}` are no JSON object")
    return found


def _block(data: bytes, at: int, number: int) -> tuple[Block, int]:
    if at + HEADER > len(data):
        raise RequestError(f"it ends within the header of block {number}")
    size, _, index = struct.unpack_from(">IHH", data, at + 4)
    locked = bool(data[at + 14] & 1)
    footer = at + HEADER + size
    end = footer + FOOTER + LOCK_BYTES * locked
    if end > len(data):
        raise RequestError(f"it ends within block {number}")
    if data[footer : footer + FOOTER] != b"3695":
        raise RequestError(f"block {number} does not end where its header says")
    if index != number:
        raise RequestError(f"block {number} says that it is block {index}")
    return Block(size, locked), end
