"""A device by its address."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from edgekd.devices.base import Device
from edgekd.devices.job import Limits
from edgekd.devices.local import Local
from edgekd.devices.openssh import Login
from edgekd.devices.ssh import Ssh
from edgekd.errors import RequestError, nearest

PARTS = ("python", "folder", "wait")
"""What may follow `?`: the interpreter there, a folder to write in, seconds to wait where it is in use."""


def open_device(address: str, ssh_config: Path | None = None) -> Device:
    """`local`, or `ssh://user@host[:port][?python=PATH&folder=PATH&wait=SECONDS]`; nothing is connected yet.

    Raises RequestError for anything else.
    """
    if address == "local":
        return Local()
    try:
        url = urlsplit(address)
        login = Login(_host(url.netloc), url.username, url.port)
        parts = {key: values[-1] for key, values in parse_qs(url.query, strict_parsing=bool(url.query)).items()}
        wait = float(parts.get("wait", 0))
    except ValueError as error:
        raise RequestError(f"`{address}` is no device: {error}", "give `ssh://user@host[:port]`") from None
    if url.scheme != "ssh" or not login.host or url.password or url.path.strip("/") or login.host.startswith("-"):
        raise RequestError(f"`{address}` is no device", "give `local` or `ssh://user@host[:port]`, without a password")
    for key in parts:
        if key not in PARTS:
            raise RequestError(f"`{address}`: unknown `{key}`", nearest(key, PARTS))
    return Ssh(login, ssh_config, parts.get("python", "python3"), parts.get("folder", ""), Limits(wait=wait))


def _host(netloc: str) -> str:
    """The host as it is written: names in an ssh configuration tell capitals apart."""
    host = netloc.rpartition("@")[2]
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
