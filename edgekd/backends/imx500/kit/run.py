"""Run the network in the sensor and tell how long it takes there. On a Raspberry Pi, with picamera2 and numpy.

    python3 run.py [--box LEFT TOP WIDTH HEIGHT] [--frames 300] [--mask mask.pgm] [--json]

A box is in pixels of the whole sensor, 4056 x 3040. `dnn` is the network's time, `dsp` the post-processor's, as the
sensor tells them; a frame is without a result where the network takes longer than a frame.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from region import region

try:
    import imx
except ImportError as error:
    sys.exit(f"{error}; on a Raspberry Pi: sudo apt install imx500-all python3-picamera2")

HERE = Path(__file__).parent
SENSOR = (3040, 4056)
"""Rows and columns of the whole sensor."""


def main():
    """Measure, and print what was found."""
    told = json.loads((HERE / "network.json").read_text())
    asked = arguments()
    if asked.mask and told["threshold"] is None:
        sys.exit("this network gives no mask; leave out --mask")
    roi = to_region(asked.box, told["region"])
    camera = imx.Camera(asked.firmware, told["format"], asked.rate)
    if roi is not None:
        camera.look_at(roi)
    found = imx.watch(camera, asked.frames, asked.seconds, warmup=10)
    if asked.mask:
        write_mask(asked.mask, camera, told["threshold"])
    camera.close()
    print(json.dumps({"region": roi, **imx.describe(found)}) if asked.json else as_text(imx.describe(found)))
    if not found["dnn_ms"]:
        sys.exit("no frame had a result")


def arguments():
    """What is asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("firmware", nargs="?", type=Path, default=HERE / "network.rpk")
    parser.add_argument("--box", nargs=4, type=float, metavar=("LEFT", "TOP", "WIDTH", "HEIGHT"))
    parser.add_argument("--frames", type=int, default=300, help="frames with a result to measure")
    parser.add_argument("--seconds", type=float, default=120, help="end after these")
    parser.add_argument("--rate", type=float, default=imx.RATE, help="frames a second")
    parser.add_argument("--mask", type=Path, help="write the mask of a frame to this PGM file")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if not asked.firmware.is_file():
        sys.exit(f"{asked.firmware} is not here: sh package.sh makes it")
    return asked


def to_region(box, rule):
    """The region of a box on the sensor; None without a box."""
    if box is None:
        return None
    if rule is None:
        sys.exit("this network has no rule for a box; leave out --box")
    try:
        return region(box, SENSOR, rule["margin"], rule["least"])
    except ValueError as error:
        sys.exit(str(error))


def write_mask(path, camera, threshold):
    """The first output's first channel above its threshold, as a grey picture."""
    outputs = next((outputs for outputs, _ in camera.results(imx.PATIENCE) if outputs is not None), None)
    if outputs is None:
        sys.exit("no frame had a result")
    pixels = np.where(np.asarray(outputs[0])[0] > threshold, 255, 0).astype(np.uint8)
    path.write_bytes(b"P5 %d %d 255\n" % pixels.shape[::-1] + pixels.tobytes())


def as_text(found):
    """A line for each kind of time, and one for the frames."""
    lines = [f"{key[:3]} p50 {found[key]['p50']} ms, p95 {found[key]['p95']} ms"
             for key in ("dnn_ms", "dsp_ms") if key in found]  # fmt: skip
    return "\n".join([*lines, f"{found['without_result']} of {found['frames']} frames without a result"])


if __name__ == "__main__":
    main()
