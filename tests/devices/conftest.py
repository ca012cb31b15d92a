"""A real ssh server on the loopback interface, of root and of an ordinary user, with fresh keys."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from edgekd.devices.job import Limits
from edgekd.devices.openssh import Login
from edgekd.devices.ssh import Ssh

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
ORDINARY = "edgekd-test"


@dataclass
class Server:
    """An ssh server, who may log in, and the client's configuration for it."""

    folder: Path
    user: str
    port: int
    python: Path

    @property
    def config(self) -> Path:
        return self.folder / "client" / "config"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "client" / "known_hosts"

    @property
    def base(self) -> Path:
        """Where jobs write, owned by the user."""
        return self.folder / "jobs"

    @property
    def url(self) -> str:
        return f"ssh://{self.user}@127.0.0.1:{self.port}"

    def device(
        self, python: str = "", limits: Limits | None = None, folder: str = "", config: Path | None = None
    ) -> Ssh:
        limits = limits or Limits(lock=str(self.base / "lock"), timeout=120)
        login = Login("127.0.0.1", self.user, self.port)
        return Ssh(login, config or self.config, python or str(self.python), folder or str(self.base), limits)

    def left(self) -> list[Path]:
        """Job folders that are still there."""
        return list(self.base.glob("edgekd.*"))


def start(folder: Path, user: str, python: Path) -> Server:
    """Keys, configurations and a server as `user`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for part in ("server", "client", "jobs"):
        (folder / part).mkdir(parents=True)
    server, client = folder / "server", folder / "client"
    for key in (server / "hostkey", client / "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    shutil.copy(client / "key.pub", server / "authorized_keys")
    (server / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {server}/hostkey\nPidFile {server}/pid\n"
        f"AuthorizedKeysFile {server}/authorized_keys\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "UsePAM no\nStrictModes no\nMaxStartups 100\n"
    )
    public = " ".join((server / "hostkey.pub").read_text().split()[:2])
    (client / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}\n")
    (client / "config").write_text(
        f"Host *\nIdentityFile {client}/key\nIdentitiesOnly yes\nUserKnownHostsFile {client}/known_hosts\n"
        "GlobalKnownHostsFile /dev/null\n"
    )
    found, command = Server(folder, user, port, python), [SSHD, "-f", server / "config", "-E", server / "log"]
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
        entry = pwd.getpwnam(user)
        for path in (server, *server.iterdir(), found.base):
            os.chown(path, entry.pw_uid, entry.pw_gid)
        if user != "root":
            command = ["setpriv", "--reuid", user, "--regid", str(entry.pw_gid), "--clear-groups", *command]
    subprocess.run(command, check=True)
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0 and (server / "pid").exists():
                return found
        time.sleep(0.05)
    raise AssertionError((server / "log").read_text())


def users() -> list[str]:
    """Root and an ordinary user where we are root; else ourselves."""
    return ["root", ORDINARY] if os.getuid() == 0 else [pwd.getpwuid(os.getuid()).pw_name]


@pytest.fixture(scope="session", params=users())
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    if not Path(SSHD).exists():
        pytest.skip("no sshd here: install openssh-server")
    if request.param == ORDINARY:
        make_user(ORDINARY)
    folder = Path(tempfile.mkdtemp(prefix="edgekd-sshd-"))
    folder.chmod(0o711)  # an ordinary user must get through
    found = start(folder, request.param, python_for(request.param, folder))
    yield found
    os.kill(int((folder / "server" / "pid").read_text()), 15)
    shutil.rmtree(folder, ignore_errors=True)


def python_for(user: str, folder: Path) -> Path:
    """A Python with numpy and a runtime that `user` can run: ours, or a copy of it."""
    ours = Path(sys.executable)
    if user != ORDINARY:
        return ours
    allowed = ["setpriv", "--reuid", user, "--clear-groups", "sh", "-c", f"'{ours}' -c ''"]
    if subprocess.run(allowed, check=False, capture_output=True).returncode == 0:
        return ours
    return copy_python(folder / "python", "numpy", "onnxruntime")


def copy_python(to: Path, *packages: str) -> Path:
    """The interpreter with some installed packages and without its own tests."""
    version, base = f"python{sys.version_info.major}.{sys.version_info.minor}", Path(sys.base_prefix)
    (to / "bin").mkdir(parents=True)
    shutil.copy(base / "bin" / version, to / "bin")
    for library in base.glob("lib/libpython*"):
        (to / "lib").mkdir(exist_ok=True)
        shutil.copy(library, to / "lib")
    left = shutil.ignore_patterns("test", "tests", "site-packages", "idlelib", "config-*", "ensurepip", "__pycache__")
    shutil.copytree(base / "lib" / version, to / "lib" / version, ignore=left)
    for package in packages:
        found = find_spec(package)
        assert found is not None
        assert found.origin is not None
        source, site = Path(found.origin).parent, to / "lib" / version / "site-packages"
        for part in (source, *source.parent.glob(f"{package}.libs")):
            shutil.copytree(part, site / part.name, ignore=shutil.ignore_patterns("tests", "tools", "__pycache__"))
    wrapper = to / "python"  # the interpreter may look for its library where the user must not
    environment = f"LD_LIBRARY_PATH='{to}/lib' PYTHONHOME='{to}' PYTHONPATH='{to}/lib/{version}/site-packages'"
    wrapper.write_text(f"#!/bin/sh\n{environment} exec '{to}/bin/{version}' \"$@\"\n")
    wrapper.chmod(0o755)
    return wrapper


def make_user(name: str) -> None:
    """A user who may log in by key: one without a password is locked, and refused."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        subprocess.run(["useradd", "--create-home", name], check=False, capture_output=True)
        subprocess.run(["usermod", "-p", "*", name], check=True, capture_output=True)
