"""A device over the network: it needs an ssh server, Python 3.8 and numpy. Nothing is installed, nothing stays."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgekd.devices.base import Device, Say
from edgekd.devices.job import Limits
from edgekd.devices.openssh import Connection, Login, RemoteError
from edgekd.errors import EdgekdError, MissingError

PATIENCE = 120.0
"""Seconds for which a lost connection is sought again."""
GRACE = 60.0
"""Seconds beyond a job's own limit after which it is given up."""
LEAST_PYTHON = (3, 8)

PREPARE = """
command -v "$1" >/dev/null 2>&1 || { echo absent; exit 0; }
version=$("$1" -c 'import sys; print(".".join(map(str, sys.version_info[:3])))' 2>/dev/null)
case "$version" in [0-9]*.[0-9]*.[0-9]*) echo "$version" ;; *) echo broken; exit 0 ;; esac
"$1" -c 'import numpy' >/dev/null 2>&1 && echo numpy || echo none
base="${2:-${TMPDIR:-/tmp}}"
find "$base" -maxdepth 1 -name 'edgekd.*' -user "$(id -un)" -mmin +1440 -exec rm -rf {} + 2>/dev/null
mkdir -m 700 "$base/$3" 2>/dev/null || [ -O "$base/$3" ] || { echo "no folder can be made in $base" >&2; exit 1; }
echo "$base/$3"
"""
DIGESTS = """
"$1" -c 'import hashlib, json, os, sys
top, found = sys.argv[1], {}
for at, _, files in os.walk(top):
    for name in files:
        path = os.path.join(at, name)
        found[os.path.relpath(path, top)] = hashlib.sha256(open(path, "rb").read()).hexdigest()
print(json.dumps(found))' "$2"
"""
RECEIVE = 'mkdir -p "$(dirname "$1")" && cat >"$1.part" && mv "$1.part" "$1"'
START = """
mkdir "$2/started" 2>/dev/null || exit 0
touch "$2/lease" && "$1" "$2/agent.py" "$2" --detach </dev/null >/dev/null 2>&1
"""
LOOK = """
cd "$1" 2>/dev/null || { echo gone; exit 0; }
touch -c lease
if [ -e done ]; then echo done
elif kill -0 "$(cat pid)" 2>/dev/null; then echo running; cat progress.json 2>/dev/null || true
else echo dead; tail -n 1 agent.log 2>/dev/null || true; fi
"""
LIST = 'cd "$1" && for f in result.json [0-9]*.npz; do [ ! -e "$f" ] || echo "$f"; done'
LEAVE = """
rm -f "$1/lease"
for i in 1 2 3 4 5 6 7 8 9; do
  [ -d "$1" ] && kill -0 "$(cat "$1/pid" 2>/dev/null)" 2>/dev/null || break
  sleep 0.3 2>/dev/null || sleep 1
done
rm -rf "$1"
"""


@dataclass
class Place:
    """A job's folder there, and the Python that works in it."""

    link: Connection
    python: str
    folder: str


class Ssh(Device):
    """A device by its login. `python` is its interpreter, `folder` where the job may write there."""

    def __init__(
        self, login: Login, config: Path | None = None, python: str = "python3", folder: str = "",
        limits: Limits = Limits(),  # noqa: B008
    ) -> None:  # fmt: skip
        self.name, self.limits = str(login), limits
        self.login, self.config, self.python, self.folder = login, config, python, folder

    def carry_out(self, folder: Path, say: Say) -> None:
        """Send the job, start its agent, wait for it, and fetch what it found. Whatever happens, nothing is left.

        While the connection is lost the job goes on; a host that stays away ends it by its lease.
        """
        with Connection(self.login, self.config) as link:
            place = self._prepare(link)
            try:
                self._send(place, folder, say)
                link.insist(lambda: link.run(START, place.python, place.folder), PATIENCE)
                self._wait(place, json.loads((folder / "job.json").read_text(encoding="utf-8"))["limits"], say)
                self._fetch(place, folder)
            finally:
                with suppress(EdgekdError):
                    link.insist(lambda: link.run(LEAVE, place.folder), 5)

    def _prepare(self, link: Connection) -> Place:
        """A folder of our own. Raises MissingError where Python or numpy are not there."""
        out = link.run(PREPARE, self.python, self.folder, f"edgekd.{secrets.token_hex(8)}")
        version, *rest = out.decode().split("\n")
        if version == "absent":
            raise MissingError(f"`{self.name}` has no `{self.python}`", "install Python 3 there, or add `?python=PATH`")
        if version == "broken":
            hint = "see what it says there, or name another: `?python=PATH`"
            raise MissingError(f"`{self.python}` on `{self.name}` does not start as Python", hint)
        place = Place(link, self.python, rest[1])
        try:
            self._check(version, rest[0])
        except MissingError:
            link.run(LEAVE, place.folder)
            raise
        return place

    def _check(self, version: str, numpy: str) -> None:
        if tuple(map(int, version.split("."))) < LEAST_PYTHON:
            hint = "install Python 3.8 or later there, or add `?python=PATH`"
            raise MissingError(f"`{self.name}` has Python {version}, which is too old", hint)
        if numpy == "none":
            hint = "install it there, for example `pip install numpy`, or add `?python=PATH`"
            raise MissingError(f"`{self.name}` has no numpy for `{self.python}`", hint)

    def _send(self, place: Place, folder: Path, say: Say) -> None:
        """Every file that is not there yet, whole; an interrupted one is sent again."""
        files = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}
        want = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
        for _ in range(3):
            there = json.loads(self._ask(place, DIGESTS, place.python, place.folder))
            lacking = [name for name in files if there.get(name) != want[name]]
            if not lacking:
                return
            say(f"sending {len(lacking)} files")
            for name in lacking:
                place.link.insist(lambda name=name: self._send_one(place, files[name], name), PATIENCE)  # type: ignore[misc]
        raise MissingError(f"`{self.name}` does not keep what it is sent", "look at its disk")

    def _send_one(self, place: Place, path: Path, name: str) -> None:
        with path.open("rb") as file:
            try:
                place.link.run(RECEIVE, f"{place.folder}/{name}", stdin=file, timeout=30 + path.stat().st_size / 2e5)
            except RemoteError as error:
                if "No space left" in error.message or "quota" in error.message:
                    raise MissingError(
                        f"`{self.name}` has a full disk: {name} does not fit into {place.folder}",
                        "make room there, or name a folder elsewhere: `?folder=PATH`",
                    ) from None
                raise

    def _wait(self, place: Place, limits: dict[str, float], say: Say) -> None:
        """Look after the job until it is done, ever more seldom, so as not to disturb it."""
        deadline = time.monotonic() + limits["wait"] + limits["timeout"] + GRACE
        pause, told = 0.2, ""
        while True:
            state, _, progress = self._ask(place, LOOK, place.folder).decode().partition("\n")
            if state == "done":
                return
            if state != "running" or time.monotonic() > deadline:
                hint = progress.strip() or "it may have been killed for want of memory; look into its system log"
                raise MissingError(f"`{self.name}` ended the job before its time", hint)
            with suppress(ValueError):
                if (task := json.loads(progress)["task"]) != told:
                    told = task
                    say(told)
            time.sleep(pause)
            pause = min(1.3 * pause, 3.0)

    def _fetch(self, place: Place, folder: Path) -> None:
        for name in self._ask(place, LIST, place.folder).decode().split():
            (folder / name).write_bytes(self._ask(place, 'cat "$1"', f"{place.folder}/{name}"))

    def _ask(self, place: Place, script: str, *arguments: str) -> bytes:
        """A command that may be repeated, so a lost connection is no matter."""
        return place.link.insist(lambda: place.link.run(script, *arguments, timeout=300), PATIENCE)
