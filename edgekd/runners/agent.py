"""Watch over a job: one at a time on a machine, ended when its host is gone, nothing of it left behind.

    python3 agent.py FOLDER [--detach]

FOLDER holds `worker.py`, which does the work, and `job.json`, of which this reads `who`, `lock` (a file all users
share) and `limits` in seconds: `wait` for the lock, `timeout` of the work, `lease`, how long the host may leave the
file `lease` untouched. Removing `lease` ends everything. `done` appears when `result.json` is complete; FOLDER is
removed when the lease has ended. Standard library only.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

TICK = 0.25
"""Seconds between two looks at lease and worker."""


class Stopped(Exception):  # noqa: N818
    """The job must end; `kind` is a word that the host knows."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Lease:
    """A file that the host touches now and then. Idle time is counted in ticks: a suspended machine is not late."""

    def __init__(self, file: Path, seconds: float) -> None:
        self.file, self.seconds = file, seconds
        self._seen, self._idle = -1, 0.0

    def check(self) -> None:
        """One tick. Raises Stopped where the host took the lease back, or has not been heard of for too long."""
        try:
            touched = self.file.stat().st_mtime_ns
        except FileNotFoundError:
            raise Stopped("stopped", "the host ended the job") from None
        self._idle = 0.0 if touched != self._seen else self._idle + TICK
        self._seen = touched
        if self._idle > self.seconds:
            raise Stopped("lease", f"nothing was heard of the host for {self.seconds:g} s")

    def outlast(self) -> None:
        """Wait until it has ended."""
        with suppress(Stopped):
            while True:
                self.check()
                time.sleep(TICK)


def supervise(folder: Path) -> None:
    """Do the job in `folder`, keep its results as long as the host is there, and remove it."""
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    limits = job["limits"]
    lease = Lease(folder / "lease", limits["lease"])
    try:
        if importlib.util.find_spec("numpy") is None:
            raise Stopped("numpy", "numpy is not installed for " + sys.executable)
        lock = take_lock(folder, job, lease)
        try:
            work(folder, limits["timeout"], lease)
        finally:
            os.ftruncate(lock, 0)
            os.close(lock)
    except Stopped as stop:
        tell(folder, stop.kind, str(stop))
    if folder.is_dir():
        (folder / "done").touch()
        lease.outlast()
    shutil.rmtree(str(folder), ignore_errors=True)


def take_lock(folder: Path, job: Any, lease: Lease) -> int:
    """The machine's lock, as a file descriptor. Raises Stopped with its holder when it stays taken."""
    lock, waited, wait = open_lock(Path(job["lock"])), 0.0, job["limits"]["wait"]
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            holder = os.pread(lock, 1000, 0).decode(errors="replace") or "somebody"
            if waited >= wait:
                raise Stopped("busy", holder) from None
        if not waited:
            (folder / "progress.json").write_text(json.dumps({"task": "waiting for " + holder}), encoding="utf-8")
        lease.check()
        time.sleep(TICK)
        waited += TICK
    os.ftruncate(lock, 0)
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    os.pwrite(lock, f"{job['who']} (process {os.getpid()}, since {since})".encode(), 0)
    return lock


def open_lock(path: Path) -> int:
    """A file that every user may open; links are not followed."""
    try:  # in a sticky folder Linux refuses O_CREAT on a file of somebody else's
        return os.open(str(path), os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        lock = os.open(str(path), os.O_RDWR | os.O_NOFOLLOW | os.O_CREAT, 0o666)
        os.fchmod(lock, 0o666)
        return lock


def work(folder: Path, timeout: float, lease: Lease) -> None:
    """Run the worker in a process group of its own until it ends or has to. The worker ends itself when we do."""
    with (folder / "worker.log").open("wb") as log:
        command = [sys.executable, str(folder / "worker.py"), str(folder)]
        worker = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True
        )
        try:
            watch(worker, time.monotonic() + timeout, timeout, lease)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
    if worker.returncode:
        tell(folder, *obituary(worker.returncode, folder / "worker.log"))


def watch(worker: subprocess.Popen[bytes], deadline: float, timeout: float, lease: Lease) -> None:
    """Wait for the worker, whose end closes its stdout. Raises Stopped when time or lease is over."""
    assert worker.stdout is not None
    while True:
        ready, _, _ = select.select([worker.stdout], [], [], TICK)
        if (ready and not os.read(worker.stdout.fileno(), 65536)) or worker.poll() is not None:
            worker.wait()
            return
        lease.check()
        if time.monotonic() > deadline:
            raise Stopped("timeout", f"the job took longer than {timeout:g} s")


def obituary(code: int, log: Path) -> Any:
    """Kind and message of a worker that ended by itself without a result."""
    if code < 0:
        return "killed", f"the process was killed by signal {-code}"
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return "crash", lines[-1] if lines else f"exit code {code}"


def tell(folder: Path, kind: str, message: str) -> None:
    """Add to the result why the job ended, unless the worker told it. A folder that is gone is not written to."""
    if not folder.is_dir():
        return
    file, part = folder / "result.json", folder / "result.json.end"
    result = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"results": []}
    result.setdefault("error", {"kind": kind, "message": message})
    with suppress(FileNotFoundError):
        (folder / "reserve").unlink()
    part.write_text(json.dumps(result), encoding="utf-8")
    part.replace(file)


def detach(folder: Path) -> None:
    """Leave the session that started us; `pid` is written before the caller's process ends."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        os._exit(0)
    os.setsid()
    child = os.fork()
    if child:
        (folder / "pid").write_text(str(child), encoding="utf-8")
        os._exit(0)
    null, log = os.open(os.devnull, os.O_RDWR), os.open(str(folder / "agent.log"), os.O_WRONLY | os.O_CREAT, 0o600)
    for target, source in ((0, null), (1, log), (2, log)):
        os.dup2(source, target)


def _heard(number: int, frame: Any) -> None:
    raise Stopped("stopped", f"the agent was told to stop by signal {number}")


if __name__ == "__main__":
    if "--detach" in sys.argv:
        detach(Path(sys.argv[1]))
    for heard in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(heard, _heard)
    supervise(Path(sys.argv[1]))
