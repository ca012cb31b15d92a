"""The OpenSSH client as a child process: argument lists, host keys always checked, one connection for all commands."""

from __future__ import annotations

import os
import select
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeVar

from edgekd.errors import MissingError

T = TypeVar("T")
CONNECT = 10
"""Seconds to wait for a connection."""
OPTIONS = {
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    "ConnectTimeout": str(CONNECT),
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "3",
    "LogLevel": "ERROR",
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "RequestTTY": "no",
    "RemoteCommand": "none",
}
BEGIN, END = b"edgekd: begin\n", b"\nedgekd: end "
"""Around what a command prints: exit code 255 alone does not tell a lost connection from the command's own."""
REFUSALS = {
    "HOST IDENTIFICATION HAS CHANGED": (
        "shows another host key than it did before",
        "if the device was set up anew: `ssh-keygen -R '{known}'`, then connect once by hand; else somebody is between",
    ),
    "Host key verification failed": (
        "has a host key that is not known here",
        "compare its fingerprint and accept it by hand: `ssh {by_hand}`",
    ),
    "Permission denied": (
        "does not let you in",
        "put your key there: `ssh-copy-id {by_hand}`; the account must not be locked",
    ),
    "Could not resolve hostname": ("has a name that is not known", "check the spelling, or give its address"),
    "Bad configuration option": ("cannot be reached: the ssh configuration is wrong", "see `ssh -G {by_hand}`"),
    "Can't open user config file": ("cannot be reached: the ssh configuration cannot be read", "see `--ssh-config`"),
}
"""What OpenSSH says when trying again is no use: sentence and hint."""
LOSSES = {
    "Connection refused": ("refuses the connection", "start its ssh server, or give its port: `ssh://user@host:port`"),
    "timed out": ("does not answer", "see whether it is switched on and on this network"),
    "No route to host": ("cannot be reached", "see whether it is switched on and on this network"),
    "unreachable": ("cannot be reached", "see whether this host has a network"),
}
"""What it says when it may be there again in a moment."""


class LostError(MissingError):
    """The connection broke, or there is none."""


class RemoteError(MissingError):
    """A command failed there."""


@dataclass(frozen=True)
class Login:
    """Whom to call, as OpenSSH and its configuration know it."""

    host: str
    user: str | None = None
    port: int | None = None

    def arguments(self) -> list[str]:
        """User and port as options."""
        return [*(["-l", self.user] if self.user else []), *(["-p", str(self.port)] if self.port else [])]

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return "ssh://" + (f"{self.user}@" if self.user else "") + host + (f":{self.port}" if self.port else "")


class Connection:
    """A master connection and the commands that go through it."""

    def __init__(self, login: Login, config: Path | None = None) -> None:
        self.login = login
        self._folder = Path(tempfile.mkdtemp(prefix="edgekd-", dir="/tmp"))  # a socket's path must be short
        pairs = OPTIONS | {"ControlPath": str(self._folder / "socket")}
        options = [part for pair in pairs.items() for part in ("-o", "=".join(pair))]
        self._base = ["ssh", *(["-F", str(config)] if config else []), *options, *login.arguments()]
        self._master: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def open(self) -> None:
        """Connect, anew where it was lost. The remote end lives as long as our end of its stdin."""
        self._end_master()
        with (self._folder / "errors").open("w+b") as errors:
            self._master = self._start("echo; exec cat", errors, "-o", "ControlMaster=yes", "-o", "ControlPersist=no")
            assert self._master.stdout is not None
            ready, _, _ = select.select([self._master.stdout], [], [], CONNECT + 5)
            if ready and os.read(self._master.stdout.fileno(), 1):
                return
            self._end_master()
            errors.seek(0)
            raise self._why(errors.read() if ready else b"timed out")

    def run(self, script: str, *arguments: str, stdin: IO[bytes] | None = None, timeout: float = 60) -> bytes:
        """What a shell script prints there; `arguments` are its `$1`, `$2`, ...

        Raises LostError where the connection broke or `timeout` seconds were over, RemoteError where the script failed.
        """
        marked = f"echo '{BEGIN.decode().strip()}'; (\n{script}\n); code=$?; echo; echo '{END.decode().strip()}' $code"
        command = shlex.join(["sh", "-c", marked, "sh", *arguments])
        child = self._start(command, subprocess.PIPE, "-o", "ControlMaster=no", stdin=stdin or subprocess.DEVNULL)
        try:
            out, told = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise LostError(
                f"`{self.login}` did not answer within {timeout:g} s", "see whether it is overloaded"
            ) from None
        finally:
            child.kill()
            child.wait()
        body, end, code = out.partition(BEGIN)[2].rpartition(END)
        if not end:
            raise self._why(told)
        if int(code):
            lines = told.decode(errors="replace").strip().splitlines()
            raise RemoteError(f"`{self.login}`: {lines[-1] if lines else f'exit code {int(code)}'}")
        return body

    def insist(self, action: Callable[[], T], patience: float) -> T:
        """What `action` gives; while the connection is lost, connect and try again for `patience` seconds."""
        pause, deadline = 0.5, time.monotonic() + patience
        while True:
            try:
                return action()
            except LostError:
                if time.monotonic() + pause > deadline:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, 10)
            with suppress(LostError):
                self.open()

    def close(self) -> None:
        """End the connection and forget its socket."""
        self._end_master()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(
        self, command: str, errors: IO[bytes] | int, *options: str, stdin: IO[bytes] | int = subprocess.PIPE
    ) -> subprocess.Popen[bytes]:
        """Ssh, out of reach of the terminal's Ctrl-C, which is ours to answer."""
        try:
            return subprocess.Popen(
                [*self._base, *options, "--", self.login.host, command], stdin=stdin, stdout=subprocess.PIPE,
                stderr=errors, start_new_session=True, env=os.environ | {"LC_ALL": "C"},
            )  # fmt: skip
        except FileNotFoundError:
            raise MissingError("`ssh` is not installed", "install the OpenSSH client") from None

    def _end_master(self) -> None:
        if self._master is not None:
            self._master.kill()
            self._master.communicate()
            self._master = None
        (self._folder / "socket").unlink(missing_ok=True)

    def _why(self, told: bytes) -> MissingError:
        """OpenSSH's last words as an error."""
        text = told.decode(errors="replace").strip()
        words = {"by_hand": " ".join([*self.login.arguments(), self.login.host]), "known": self._known()}
        for kind, table in ((MissingError, REFUSALS), (LostError, LOSSES)):
            for said, (sentence, hint) in table.items():
                if said in text:
                    return kind(f"`{self.login}` {sentence}", hint.format(**words))
        return LostError(f"`{self.login}` ended the connection", text.splitlines()[-1] if text else "")

    def _known(self) -> str:
        """The host as `known_hosts` names it."""
        return f"[{self.login.host}]:{self.login.port}" if self.login.port else self.login.host
