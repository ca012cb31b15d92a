"""Compare the sensor's answers with the expected codes, input by input. Exit code 1 when they differ.

    python3 inject.py [network.rpk] [--json]

The line `dtoverlay=imx500,bypass-cache` must stand in /boot/firmware/config.txt, and the Pi be restarted with it.
Needs picamera2 and numpy.
"""

import json
import sys
from pathlib import Path

import numpy as np

try:
    import imx
except ImportError as error:
    sys.exit(f"{error}; on a Raspberry Pi: sudo apt install imx500-all python3-picamera2")

HERE = Path(__file__).parent


def main(arguments):
    """Inject every probe, and tell how many codes are equal."""
    told = json.loads((HERE / "network.json").read_text())
    named = [Path(argument) for argument in arguments if argument != "--json"]
    shapes = {output["name"]: [1, *output["dims"]] for output in told["outputs"]}
    session = imx.Session(
        named[0] if named else HERE / "network.rpk",
        step=told["step"],
        signed=told["signed"],
        outputs=shapes,
        format=told["format"],
    )
    rows = [row for number in range(told["probes"]) for row in compare(session, told, number)]
    print(json.dumps(rows) if "--json" in arguments else "\n".join(map(as_text, rows)))
    sys.exit(0 if rows and all(row["equal"] == row["codes"] for row in rows) else 1)


def compare(session, told, number):
    """The codes of each output for a probe, beside what is expected."""
    pixels = np.load(HERE / f"probe-{number}.npy").astype(np.float32)
    values = (pixels - 128 * told["signed"]) * told["step"]
    answers = session.run({"input": values.transpose(2, 0, 1)[None]})
    for place, output in enumerate(told["outputs"]):
        want = np.load(HERE / f"expected-{number}-{place}.npy").astype(int)
        got = np.rint(answers[output["name"]][0] / output["step"]).astype(int).reshape(want.shape)
        yield {"probe": number, "output": output["name"], "codes": want.size, "equal": int((got == want).sum()),
               "largest": int(np.abs(got - want).max())}  # fmt: skip


def as_text(row):
    """A comparison in a line."""
    share = f"{row['equal']} of {row['codes']} codes equal"
    return f"probe {row['probe']}, {row['output']}: {share}, largest difference {row['largest']}"


if __name__ == "__main__":
    main(sys.argv[1:])
