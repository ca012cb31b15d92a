"""Do a job's tasks with the runtimes of this machine. Started by `agent.py`; standard library, numpy, runner files.

    python3 worker.py FOLDER

FOLDER holds `inputs.npz` (entries `N/NAME`), `job.json` with `models` (`name`, `runner`, `file`, `options`) and
`tasks`, and what they name. `result.json` gets `host`, `machine` and `results`, one each task, and is whole after every
task; arrays lie in `T.npz`, T the task's number, entries `N/NAME` for the Nth input. A task that failed has an `error`
with a `kind` (`runtime`, `memory`, `disk`, `model`, or a runner's own) and a `message`.
"""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np


class Runtime(Exception):  # noqa: N818
    """A runtime is not installed, or does not load."""


def load(file: Path) -> Any:
    """A runner's module by its file. Raises Runtime."""
    spec = importlib.util.spec_from_file_location("edgekd_" + file.stem, str(file))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        raise Runtime(str(error)) from None
    return module


class Worker:
    """The tasks, each a method that gives JSON."""

    def __init__(self, folder: Path, job: Any) -> None:
        self.folder, self.models = folder, {model["name"]: model for model in job["models"]}
        self._modules = {}  # type: dict[str, Any]
        self._inputs = []  # type: list[dict[str, Any]]

    def inputs(self) -> Any:
        """Inputs in their order, by name."""
        if not self._inputs:
            with np.load(str(self.folder / "inputs.npz"), allow_pickle=False) as file:
                count = 1 + max((int(entry.split("/", 1)[0]) for entry in file.files), default=-1)
                self._inputs = [{} for _ in range(count)]
                for entry in file.files:
                    number, name = entry.split("/", 1)
                    self._inputs[int(number)][name] = file[entry]
        return self._inputs

    def module(self, name: str) -> Any:
        """The runner of a model."""
        file = self.models[name]["runner"]
        if file not in self._modules:
            self._modules[file] = load(self.folder / file)
        return self._modules[file]

    def session(self, name: str, expose: Any = (), **more: Any) -> Any:
        """A model, loaded."""
        model, options = self.models[name], dict(self.models[name]["options"], **more)
        return self.module(name).Session(self.folder / model["file"], tuple(expose), **options)

    def save(self, number: int, rows: Any) -> None:
        """Arrays of every input as `NUMBER.npz`."""
        part = self.folder / "outputs.part"
        entries = {f"{i}/{name}": value for i, row in enumerate(rows) for name, value in row.items()}
        try:
            with part.open("wb") as file:
                np.savez(file, **entries)
            part.replace(self.folder / f"{number}.npz")
        finally:
            part.unlink(missing_ok=True)

    def board(self) -> Any:
        """What reads the board."""
        return load(self.folder / "board.py")

    def state(self, number: int) -> Any:
        """What the board says of itself, raw, and whether it tells its power."""
        board = self.board()
        sample = board.power()
        power = bool(sample["watts"] or sample["joules"] or shutil.which("tegrastats"))
        return {"raw": board.read(), "power": power}

    def run(self, number: int, model: str) -> Any:
        """Outputs for every input."""
        session = self.session(model)
        self.save(number, [session.run(x) for x in self.inputs()])
        return {"tool": self.module(model).TOOL}

    def trace(self, number: int, model: str, groups: Any) -> Any:
        """Exposed tensors for every input, one session for each group of them, and what the network itself answers."""
        rows = [{} for _ in self.inputs()]  # type: list[dict[str, Any]]
        for group in groups:
            for row, found in zip(rows, self.observe(model, group)):
                row.update(found)
        session = self.session(model)
        for row, x in zip(rows, self.inputs()):
            row.update(session.run(x))
        self.save(number, rows)
        return {"tool": self.module(model).TOOL}

    def observe(self, model: str, group: Any) -> Any:
        """Tensors for every input; one that the model does not have is left out."""
        try:
            session = self.session(model, group)
            return [session.run(x) for x in self.inputs()]
        except Exception:  # each runtime raises its own kinds; one that does not run at all is found out later
            rows = [{} for _ in self.inputs()]  # type: list[dict[str, Any]]
            for name in group if len(group) > 1 else ():
                for row, found in zip(rows, self.observe(model, [name])):
                    row.update(found)
            return rows

    def time(self, number: int, models: Any, warmup: int, runs: int, seconds: float, threads: int) -> Any:
        """Seconds of single inferences. In turns, so that what disturbs the machine disturbs all models alike; models
        whose runtime is its own clock one after the other."""
        tools, x = {name: self.module(name).TOOL for name in models}, self.inputs()[0]
        result = {"tools": tools, "load_before": os.getloadavg(), "in_turns": True}  # type: dict[str, Any]
        if any(self.own_clock(name) for name in models):
            own = {name: self.own_time(name, x, warmup, runs, seconds, threads) for name in models}
            result["seconds"] = {name: list(told.pop("seconds")) for name, told in own.items()}
            result.update(in_turns=False, details=own, window=min(sum(s) for s in result["seconds"].values()))
        else:
            sessions = [self.session(name, threads=threads) for name in models]
            rows, result["window"] = in_turns([(s.call, s.feed(x)) for s in sessions], warmup, runs, seconds)
            result["seconds"] = dict(zip(models, rows))
        result["load_after"] = os.getloadavg()
        return result

    def own_clock(self, model: str) -> bool:
        """Whether its runtime is its own clock."""
        return hasattr(self.module(model), "time_model")

    def own_time(self, model: str, x: Any, warmup: int, runs: int, seconds: float, threads: int) -> Any:
        """What a runtime that is its own clock tells."""
        options, file = dict(self.models[model]["options"], threads=threads), self.folder / self.models[model]["file"]
        return self.module(model).time_model(file, options, x, warmup, runs, seconds)

    def layers(self, number: int, model: str, runs: int) -> Any:
        """Time of every layer; null where the runner cannot tell."""
        session = self.session(model)
        return {"layers": session.layers(self.inputs()[0], runs) if hasattr(session, "layers") else None}

    def power(self, number: int, model: str, idle: float, seconds: float, threads: int) -> Any:
        """Samples of power while nothing runs and while the model does; as `watch` in `board.py` gives them."""
        x = self.inputs()[0]
        if self.own_clock(model):
            told = {}  # type: dict[str, Any]

            def own() -> int:
                told.update(self.own_time(model, x, 0, 1, seconds, threads))
                return len(told["seconds"])

            log = self.board().watch(own, idle)
            return dict(log, load=told["busy"])
        session = self.session(model, threads=threads)
        fed = session.feed(x)
        session.call(fed)

        def work() -> int:
            count, end = 0, time.monotonic() + seconds
            while time.monotonic() < end:
                session.call(fed)
                count += 1
            return count

        return self.board().watch(work, idle)

    def memory(self, number: int, models: Any) -> Any:
        """Bytes of memory by model, each in a fresh process; null where the runtime is a program of its own."""
        return {"bytes": {name: None if self.own_clock(name) else self.fresh(name) for name in models}}

    def fresh(self, model: str) -> Any:
        """What `peak` finds in a process of its own."""
        command = [sys.executable, __file__, str(self.folder), model]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            raise RuntimeError(lines[-1] if lines else f"exit code {done.returncode}")
        return json.loads(done.stdout.decode().splitlines()[-1])

    def peak(self, model: str) -> Any:
        """Peak memory of loading and running a model three times: in all, and above what its runtime needs itself."""
        self.module(model)
        inputs = self.inputs()[0]
        reset_peak()
        before = status("VmRSS")
        session = self.session(model)
        for _ in range(3):
            session.run(inputs)
        return {"peak": status("VmHWM"), "above_runtime": max(0, status("VmHWM") - before)}


def in_turns(calls: Any, warmup: int, runs: int, seconds: float) -> Any:
    """Seconds of each call in rounds over all of them, until `runs` or `seconds` are over; and the time taken."""
    for _ in range(warmup):
        for call, fed in calls:
            call(fed)
    rows = [[] for _ in calls]  # type: list[list[float]]
    clock = time.perf_counter
    begin = clock()
    while len(rows[0]) < runs and (not rows[0] or clock() - begin < seconds):
        for row, (call, fed) in zip(rows, calls):
            start = clock()
            call(fed)
            row.append(clock() - start)
    return rows, clock() - begin


def status(key: str) -> int:
    """A line of `/proc/self/status` in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":"))


def reset_peak() -> None:
    """Let VmHWM start anew from what is used now (proc(5), clear_refs)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def host() -> str:
    """This machine in a line: CPU model, logical CPUs, operating system."""
    model = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    return f"{model}, {os.cpu_count()} CPUs, {platform.system()} {platform.machine()}"


def failure(error: BaseException) -> Any:
    """Kind and first line of what went wrong."""
    message = (str(error).strip() or type(error).__name__).splitlines()[0]
    kind = "runtime" if isinstance(error, Runtime) else getattr(error, "kind", "model")
    if isinstance(error, MemoryError) or "bad_alloc" in message or "allocate memory" in message:
        kind = "memory"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        kind = "disk"
    return {"kind": kind, "message": message}


def write(folder: Path, name: str, value: Any) -> None:
    """JSON, whole or not at all. What is kept in reserve makes room on a full disk."""
    part = folder / (name + ".part")
    try:
        part.write_text(json.dumps(value), encoding="utf-8")
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        (folder / "reserve").unlink()
        part.write_text(json.dumps(value), encoding="utf-8")
    part.replace(folder / name)


def end_with_parent() -> None:
    """The parent holds our stdin open; when it is gone, so are we and all we started."""
    os.read(0, 1)
    os.killpg(0, 9)


def main(folder: Path) -> None:
    """Every task in its order."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    (folder / "reserve").write_bytes(os.urandom(65536))
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    worker = Worker(folder, job)
    result = {"host": host(), "machine": platform.machine(), "results": []}  # type: dict[str, Any]
    for number, task in enumerate(job["tasks"]):
        write(folder, "progress.json", {"task": task["task"], "number": number, "of": len(job["tasks"])})
        arguments = {key: value for key, value in task.items() if key != "task"}
        try:
            result["results"].append(getattr(worker, task["task"])(number, **arguments))
        except Exception as error:  # each runtime raises its own kinds
            result["results"].append({"error": failure(error)})
        write(folder, "result.json", result)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        place = Path(sys.argv[1])
        print(json.dumps(Worker(place, json.loads((place / "job.json").read_text(encoding="utf-8"))).peak(sys.argv[2])))
    else:
        main(Path(sys.argv[1]))
