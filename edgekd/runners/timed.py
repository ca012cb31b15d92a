"""Time models in one process, in turns, so that what disturbs the machine disturbs all of them alike.

    python timed.py JOB.json > RESULT.json

JOB: `models` (list of `name`, `runner` (file), `model` (file), `options`), `inputs` (npz), `warmup`, `runs`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


def load(file: str) -> Any:
    """A runner's module by its file."""
    spec = importlib.util.spec_from_file_location("runner_" + Path(file).stem, file)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def time_models(job: dict[str, Any]) -> dict[str, Any]:
    """Seconds of every timed run by model, with the load average before and after."""
    runners = {m["name"]: load(m["runner"]) for m in job["models"]}
    sessions = {m["name"]: runners[m["name"]].Session(Path(m["model"]), **m["options"]) for m in job["models"]}
    with np.load(job["inputs"]) as file:
        inputs = {name: file[name] for name in file.files}
    before = os.getloadavg()
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    for i in range(job["warmup"] + job["runs"]):
        for name, session in sessions.items():
            start = time.perf_counter()
            session.run(inputs)
            if i >= job["warmup"]:
                seconds[name].append(time.perf_counter() - start)
    tools = {name: module.TOOL for name, module in runners.items()}
    return {"seconds": seconds, "tools": tools, "load_before": before, "load_after": os.getloadavg()}


if __name__ == "__main__":
    print(json.dumps(time_models(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
