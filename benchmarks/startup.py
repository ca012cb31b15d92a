"""CPU time of the light verbs, beside what importing torch alone costs: python benchmarks/startup.py

Median of 9 runs each, in turns. The verbs must stay under 0.25 s.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

from edgekd.evidence import host, now
from edgekd.store import installed

EDGEKD = str(Path(sys.executable).parent / "edgekd")
COMMANDS = {
    "edgekd --help": [EDGEKD, "--help"],
    "edgekd targets": [EDGEKD, "targets"],
    "python -c pass": [sys.executable, "-c", "pass"],
    "import torch": [sys.executable, "-c", "import torch"],
}


def cpu(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
load = os.getloadavg()
for _ in range(9):
    for name, command in COMMANDS.items():
        seconds[name].append(cpu(command))
result = {
    "host": host(),
    "when": now(),
    "load average": load,
    "python": sys.version.split()[0],
    "torch": installed("torch"),
    "cpu seconds, median of 9": {name: round(statistics.median(values), 3) for name, values in seconds.items()},
    "cpu seconds, largest": {name: round(max(values), 3) for name, values in seconds.items()},
}
print(json.dumps(result, indent=1))
(Path(__file__).parent / "results" / "startup.json").write_text(json.dumps(result, indent=1) + "\n")
