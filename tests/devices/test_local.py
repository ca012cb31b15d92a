"""Jobs that this host does: agent, worker and runners as files, in processes of their own."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from edgekd.devices import job
from edgekd.devices.base import Timing, Work
from edgekd.devices.job import Limits, write_job
from edgekd.devices.local import Local
from edgekd.devices.measure import figures, measure_works
from edgekd.errors import MissingError
from edgekd.graph import golden

from tests.devices.jobs import IMAGES, left_running, model


def test_outputs_and_traces_are_those_of_the_graph(tmp_path):
    graph, work = model(tmp_path)
    want = [golden.run(graph, x) for x in IMAGES]
    outputs = Local().outputs(work, IMAGES)
    traces = Local().traces(work, IMAGES, [["x.q"], ["y.q"]])
    assert [set(out) for out in outputs] == [{"restored"}] * 3
    for reference, out, trace in zip(want, outputs, traces, strict=True):
        np.testing.assert_array_equal(trace["x.q"], reference["x.q"])
        assert set(trace) == {"x.q", "y.q", "restored"}
        np.testing.assert_array_equal(trace["restored"], out["restored"])


def test_what_is_measured_of_two_models(tmp_path):
    _, work = model(tmp_path)
    works = [Work("first", work.runner, work.model), Work("second", work.runner, work.model)]
    measured = measure_works(Local(), works, IMAGES, Timing(warmup=1, runs=7, threads=1))
    assert [len(measured.milliseconds(work)) for work in works] == [7, 7]
    assert all(found and 0 < found["above_runtime"] < found["peak"] for found in measured.memory.values())
    assert len(measured.outputs) == len(IMAGES)
    found = {(f.name, f.subject): f for f in figures(measured)}
    assert set(found) == {
        *((name, subject) for name in ("latency", "peak memory") for subject in ("first", "second")),
        ("speed-up over first", "second"),
        ("state", "second"),
    }
    assert found["latency", "first"].value == pytest.approx(np.median(measured.milliseconds(works[0])))
    assert found["latency", "first"].details["short"] is True
    assert found["latency", "first"].device == "local"
    assert found["latency", "first"].tool.startswith("ONNX Runtime")


def test_time_ends_by_runs_or_by_seconds(tmp_path):
    _, work = model(tmp_path)
    by_runs = Local().time([work], IMAGES[0], Timing(warmup=0, runs=3, seconds=60))
    assert len(by_runs["seconds"]["net"]) == 3
    by_seconds = Local().time([work], IMAGES[0], Timing(warmup=0, runs=10**9, seconds=0.2))
    assert by_seconds["window"] >= 0.2
    assert len(by_seconds["seconds"]["net"]) < 10**9


def test_a_model_that_does_not_load_is_told_in_a_sentence(tmp_path):
    with pytest.raises(MissingError, match="`local` does not run the model") as error:
        Local().outputs(Work("gone", "ort", tmp_path / "gone.onnx"), IMAGES)
    assert "Traceback" not in str(error.value)


def test_memory_that_is_not_there_is_told(tmp_path):
    _, work = model(tmp_path)
    runner = tmp_path / "hungry.py"
    runner.write_text(
        "TOOL = 'x'\nclass Session:\n    def __init__(self, *a, **k):\n        self.x = bytearray(1 << 60)\n"
    )
    job = tmp_path / "job"
    job.mkdir()
    write_job(job, [("net", "ort", work.model, {})], IMAGES, [{"task": "run", "model": "net"}], Limits())
    (job / "ort.py").unlink()
    (job / "ort.py").symlink_to(runner)
    Local().carry_out(job, print)
    assert json.loads((job / "result.json").read_text())["results"][0]["error"]["kind"] == "memory"


def start(tmp_path: Path, limits: Limits, seconds: float = 60.0) -> tuple[Path, "subprocess.Popen[bytes]"]:
    """An agent that measures for `seconds`, begun."""
    _, work = model(tmp_path)
    job = tmp_path / "job"
    job.mkdir()
    task = {"task": "time", "models": ["net"], "warmup": 0, "runs": 10**9, "seconds": seconds, "threads": 1}
    write_job(job, [("net", work.runner, work.model, {})], IMAGES, [task], limits)
    agent = subprocess.Popen([sys.executable, job / "agent.py", job])
    for _ in range(400):
        if (job / "progress.json").exists() or agent.poll() is not None:
            break
        time.sleep(0.05)
    return job, agent


def limits(tmp_path: Path, **more: float) -> Limits:
    return Limits(lock=str(tmp_path / "lock"), **more)  # type: ignore[arg-type]


def result(job: Path) -> dict[str, dict[str, str]]:
    """What an agent told before its lease ended."""
    for _ in range(400):
        if (job / "done").exists():
            break
        time.sleep(0.05)
    found: dict[str, dict[str, str]] = json.loads((job / "result.json").read_text())
    return found


def test_the_host_ends_a_job_by_taking_its_lease(tmp_path):
    job, agent = start(tmp_path, limits(tmp_path))
    (job / "lease").unlink()
    assert agent.wait(30) == 0
    assert not job.exists()
    assert not left_running(job)


def test_a_host_that_is_gone_ends_the_job_in_time(tmp_path):
    job, agent = start(tmp_path, limits(tmp_path, lease=1))
    assert agent.wait(60) == 0
    assert not job.exists()
    assert not left_running(job)


def test_a_job_that_takes_too_long_is_ended(tmp_path):
    job, agent = start(tmp_path, limits(tmp_path, timeout=1))
    assert result(job)["error"]["kind"] == "timeout"
    (job / "lease").unlink()
    agent.wait(30)
    assert not left_running(job)


def test_an_agent_that_is_killed_takes_its_worker_along(tmp_path):
    job, agent = start(tmp_path, limits(tmp_path))
    assert len(left_running(job)) == 2
    agent.kill()
    agent.wait(30)
    for _ in range(200):
        if not left_running(job):
            break
        time.sleep(0.05)
    assert not left_running(job)


def test_a_worker_that_is_killed_is_told_of(tmp_path):
    job, agent = start(tmp_path, limits(tmp_path))
    worker = next(pid for pid in left_running(job) if pid != agent.pid)
    os.kill(worker, signal.SIGKILL)
    assert result(job)["error"] == {"kind": "killed", "message": "the process was killed by signal 9"}
    (job / "lease").unlink()
    agent.wait(30)


def test_two_at_once(tmp_path):
    """The second is told who the first is; where it may wait, it gets its turn."""
    first, agent = start(tmp_path, limits(tmp_path))
    (tmp_path / "b").mkdir()
    second, other = start(tmp_path / "b", limits(tmp_path))
    told = result(second)["error"]
    assert told["kind"] == "busy"
    assert f"process {agent.pid}" in told["message"]
    (second / "lease").unlink()
    other.wait(30)
    threading.Timer(1.0, (first / "lease").unlink).start()
    (tmp_path / "c").mkdir()
    third, patient = start(tmp_path / "c", limits(tmp_path, wait=60), seconds=0.1)
    assert "error" not in result(third)
    (third / "lease").unlink()
    agent.wait(30)
    patient.wait(30)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody without a name")
def test_a_user_without_a_name(monkeypatch):
    """As in a container that runs as a number."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    if not (child := os.fork()):
        os.setuid(54321)
        told = job._user()
        os._exit(0 if told == "user 54321" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_who_asks_for_hours_gets_them():
    """A second net timed for as long, where the runtime is its own clock, and both windows of power."""
    tasks = [{"task": "state"}, {"task": "time", "models": ["a", "b"], "seconds": 7200}]
    assert Limits(timeout=60).beside(tasks).timeout == 60 + 2 * 7200
    assert Limits(timeout=60).beside([{"task": "power", "model": "a", "idle": 30, "seconds": 30}]).timeout == 120
