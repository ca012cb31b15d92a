"""Compare what `trtexec --exportOutput` wrote with the expected outputs. Exit code 1 when they differ.

    python3 check.py int8-output.json [LIMIT]

LIMIT, default 0.05: largest root-mean-square difference allowed, as a share of the output's standard deviation.
Needs numpy only.
"""

import json
import sys
from pathlib import Path

import numpy as np

here = Path(__file__).parent
limit = float(sys.argv[2]) if len(sys.argv) > 2 else 0.05
expected = json.loads((here / "probes.json").read_text())[0]["expected"]
outputs = {
    entry["name"]: np.asarray(entry["values"], np.float32) for entry in json.loads(Path(sys.argv[1]).read_text())
}
failed = False
for name, file in expected.items():
    want = np.fromfile(here / file, "<f4")
    if name not in outputs or outputs[name].size != want.size:
        print(f"{name}: missing, or of another size")
        failed = True
        continue
    difference = outputs[name].ravel() - want
    spread = want.std() or np.abs(want).max() or 1.0  # a single value, or equal ones, have no deviation
    share = float(np.sqrt(np.mean(difference**2)) / spread)
    print(f"{name}: rms difference {share:.5f} of the output's deviation, largest {np.abs(difference).max():.5f}")
    failed |= not share <= limit
sys.exit(1 if failed else 0)
