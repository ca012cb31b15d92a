"""Devices over a real ssh server: what they answer, and what people are told when something is amiss."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from edgekd.devices.base import Timing, Work
from edgekd.devices.job import Limits
from edgekd.devices.local import Local
from edgekd.devices.open import open_device
from edgekd.devices.openssh import Connection, Login, LostError, RemoteError
from edgekd.devices.ssh import Ssh
from edgekd.errors import MissingError, RequestError

from tests.devices.conftest import Server, copy_python
from tests.devices.jobs import IMAGES, left_running, model


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return model(tmp_path)[1]


def nothing_left(server: Server) -> bool:
    """Wait a moment for what is ending, then look."""
    for _ in range(100):
        if not server.left() and not left_running(server.base):
            return True
        time.sleep(0.05)
    return False


def test_it_answers_as_this_host_does(server, work):
    probe = server.device().probe()
    assert probe.machine == os.uname().machine
    for there, here in zip(server.device().outputs(work, IMAGES), Local().outputs(work, IMAGES), strict=True):
        np.testing.assert_array_equal(there["restored"], here["restored"])
    traces = server.device().traces(work, IMAGES[:1], [["x.q"], ["y.q"]])
    assert set(traces[0]) == {"x.q", "y.q", "restored"}
    assert nothing_left(server)


def test_it_is_timed(server, work):
    told = server.device().time([work], IMAGES[0], Timing(warmup=1, runs=9))
    assert len(told["seconds"]["net"]) == 9
    assert told["tools"]["net"].startswith("ONNX Runtime")


def test_commands_are_quoted_and_exit_codes_are_theirs(server):
    with Connection(Login("127.0.0.1", server.user, server.port), server.config) as link:
        odd = "a 'b' \"c\" $HOME `id` \n;&"
        assert link.run('printf %s "$1"', odd).decode() == odd
        assert link.run(r"printf '\377\0\n'") == b"\xff\0\n"
        with pytest.raises(RemoteError, match="exit code 255"):
            link.run("exit 255")
        with pytest.raises(RemoteError, match="nothing here"):
            link.run("echo nothing here >&2; false")
        with pytest.raises(LostError, match="did not answer within"):
            link.run("sleep 20", timeout=0.3)


def with_config(server: Server, tmp_path: Path, **changes: str) -> Path:
    """The client's configuration with other files."""
    text = server.config.read_text()
    for old, new in changes.items():
        text = "\n".join(f"{old} {new}" if line.startswith(old + " ") else line for line in text.splitlines())
    path = tmp_path / "config"
    path.write_text(text + "\n")
    return path


def test_a_wrong_key(server, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    with pytest.raises(MissingError, match="does not let you in") as error:
        server.device(config=with_config(server, tmp_path, IdentityFile=f"{tmp_path}/key")).probe()
    assert "ssh-copy-id" in error.value.hint
    assert str(server.port) in error.value.hint


def test_a_changed_host_key(server, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    other = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    (tmp_path / "known").write_text(f"[127.0.0.1]:{server.port} {other}\n")
    with pytest.raises(MissingError, match="shows another host key") as error:
        server.device(config=with_config(server, tmp_path, UserKnownHostsFile=f"{tmp_path}/known")).probe()
    assert f"ssh-keygen -R '[127.0.0.1]:{server.port}'" in error.value.hint


def test_an_unknown_host_key_is_never_accepted(server, tmp_path):
    known = tmp_path / "known"
    config = with_config(server, tmp_path, UserKnownHostsFile=str(known))
    config.write_text("StrictHostKeyChecking no\n" + config.read_text())
    with pytest.raises(MissingError, match="host key that is not known") as error:
        server.device(config=config).probe()
    assert "by hand" in error.value.hint
    assert not known.exists()


def test_no_host_there(server, tmp_path):
    with pytest.raises(MissingError, match="refuses the connection"):
        Ssh(Login("127.0.0.1", server.user, 1), server.config).probe()
    with pytest.raises(MissingError, match="name that is not known"):
        Ssh(Login("nowhere.invalid"), server.config).probe()
    (tmp_path / "bad").write_text("Nonsense yes\n")
    with pytest.raises(MissingError, match="configuration is wrong"):
        server.device(config=tmp_path / "bad").probe()


def test_what_is_no_python(server):
    """Like a pyenv shim without a version: it is there, and fails."""
    before = server.left()
    with pytest.raises(MissingError, match=r"`/bin/false` on `ssh.*` does not start as Python"):
        server.device(python="/bin/false").probe()
    with pytest.raises(MissingError, match="does not start as Python"):
        server.device(python="/bin/echo").probe()
    assert server.left() == before


def test_no_python_no_numpy_no_runtime(server, work):
    with pytest.raises(MissingError, match="has no `/no/python`"):
        server.device(python="/no/python").probe()
    bare = copy_python(server.folder / "bare")
    with pytest.raises(MissingError, match="has no numpy") as error:
        server.device(python=str(bare)).outputs(work, IMAGES)
    assert "pip install numpy" in error.value.hint
    plain = copy_python(server.folder / "plain", "numpy")
    with pytest.raises(MissingError, match="lacks a runtime: No module named 'onnxruntime'") as error:
        server.device(python=str(plain)).outputs(work, IMAGES)
    assert "pip install onnxruntime" in error.value.hint
    assert nothing_left(server)


@pytest.fixture
def small_disk(server):
    """A file system of one megabyte, where jobs write."""
    disk = server.folder / "disk"
    disk.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=1777", "tmpfs", disk]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_disk_too_small_for_the_job(server, work, small_disk):
    limits = Limits(lock=str(server.base / "lock"))
    noise = [{"image": np.random.default_rng(0).normal(0, 1, (1, 4, 8, 8, 1000)).astype(np.float32)}]
    with pytest.raises(MissingError, match=r"has a full disk: .* does not fit") as error:
        server.device(folder=str(small_disk), limits=limits).outputs(work, noise)
    assert "?folder=" in error.value.hint
    assert not list(small_disk.iterdir())


def test_a_disk_too_small_for_the_outputs(server, work, small_disk):
    many = IMAGES * 150  # 450 times 1 KiB, and the outputs as often: one of them fits
    tasks = [{"task": "run", "model": "net"}] * 2
    with pytest.raises(MissingError, match="has a full disk"):
        server.device(folder=str(small_disk)).do([work], many, tasks)
    assert not list(small_disk.iterdir())


LONG = Timing(warmup=0, runs=10**9, seconds=4)


def started(server: Server) -> Path:
    """The folder of a job whose worker has begun."""
    for _ in range(600):
        for folder in server.left():
            if (folder / "progress.json").exists():
                return folder
        time.sleep(0.05)
    raise AssertionError("no job began")


class Background(threading.Thread):
    """A measurement beside the test; what it gave or raised."""

    def __init__(self, device: Ssh, work: Work, timing: Timing = LONG) -> None:
        super().__init__()
        self.device, self.work, self.timing = device, work, timing
        self.told: dict[str, object] = {}
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self.told = self.device.time([self.work], IMAGES[0], self.timing)
        except Exception as error:
            self.error = error


def test_a_killed_agent(server, work):
    thread = Background(server.device(), work)
    os.kill(int((started(server) / "pid").read_text()), signal.SIGKILL)
    thread.join(60)
    assert isinstance(thread.error, MissingError)
    assert "ended the job before its time" in thread.error.message
    assert nothing_left(server)


def sessions(server: Server) -> list[int]:
    """Processes of the server that serve a connection."""
    listener, found = int((server.folder / "server" / "pid").read_text()), list[int]()
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                name, _, rest = (entry / "stat").read_text().partition("(")[2].rpartition(")")
            except OSError:
                continue
            if name.startswith("sshd"):
                parents[int(entry.name)] = int(rest.split()[1])
    for process in parents:
        above = process
        while above in parents and above != listener:
            above = parents[above]
        if above == listener and process != listener:
            found.append(process)
    return found


def test_a_cut_connection(server, work):
    """The job goes on, the host comes back, the result arrives."""
    thread = Background(server.device(), work)
    started(server)
    cut = sessions(server)
    assert cut
    for process in cut:
        os.kill(process, signal.SIGKILL)
    thread.join(60)
    assert thread.error is None
    assert thread.told["window"] >= 4
    assert nothing_left(server)


def test_while_another_measures(server, work):
    """Who comes second is told who is first, or waits. The lock is one that another user made."""
    lock = server.base / "lock"
    with lock.open("w") as held:
        lock.chmod(0o666)
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write("ann@elsewhere (process 7, since 2026-01-01T00:00:00Z)")
        held.flush()
        with pytest.raises(MissingError, match="is in use by ann@elsewhere") as error:
            server.device().time([work], IMAGES[0], Timing(warmup=0, runs=1))
        assert "wait" in error.value.hint
        patient = server.device(limits=Limits(wait=60, lock=str(lock)))
        threading.Timer(3, lambda: fcntl.flock(held, fcntl.LOCK_UN)).start()
        assert len(patient.time([work], IMAGES[0], Timing(warmup=0, runs=3))["seconds"]["net"]) == 3
    assert nothing_left(server)


def test_ctrl_c_leaves_nothing_running(server, work):
    code = (
        "import sys\nfrom pathlib import Path\nimport numpy as np\n"
        "from edgekd.devices.base import Timing, Work\nfrom edgekd.devices.open import open_device\n"
        "device = open_device(sys.argv[1], Path(sys.argv[2]))\n"
        "image = {'image': np.zeros((1, 4, 8, 8), np.float32)}\n"
        "device.time([Work('net', 'ort', Path(sys.argv[3]))], image, Timing(0, 10**9, 60))\n"
    )
    address = f"{server.url}?python={server.python}&folder={server.base}&wait=60"
    child = subprocess.Popen([sys.executable, "-c", code, address, server.config, work.model], stderr=subprocess.PIPE)
    started(server)
    child.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in child.communicate(timeout=60)[1]
    assert nothing_left(server)


def test_an_address_says_what_it_is():
    device = open_device("ssh://pi@Board.local:2222?python=/opt/python&wait=5")
    assert isinstance(device, Ssh)
    assert device.name == "ssh://pi@Board.local:2222"
    assert (device.python, device.limits.wait) == ("/opt/python", 5)
    assert open_device("ssh://[fe80::1]").name == "ssh://[fe80::1]"
    assert isinstance(open_device("local"), Local)
    for wrong in ("pi@board", "ssh://", "ssh://u:secret@h", "ssh://h/path", "ssh://h:port", "ssh://-oProxyCommand=x"):
        with pytest.raises(RequestError):
            open_device(wrong)
    with pytest.raises(RequestError) as error:
        open_device("ssh://h?pyton=x")
    assert error.value.hint == "did you mean `python`?"
