"""Stands for a board's trtexec: replays recorded outputs, and notes how it was called. Its banner says `[recorded]`.

    python trtexec.py 10|11 FOLDER ARGUMENTS...

FOLDER receives `calls.txt`; `answer.json` in it is what an inference gives out, `fails.txt` what a failure prints.
"""

import shutil
import sys
from pathlib import Path

RECORDED = Path(__file__).parent / "recorded"


def main(version: str, folder: Path, arguments: list[str]) -> int:
    if arguments == ["--help"]:
        sys.stdout.write((RECORDED / f"help-{version}.txt").read_text())
        return 0
    with (folder / "calls.txt").open("a") as calls:
        calls.write(" ".join(arguments) + "\n")
    known = (RECORDED / f"help-{version}.txt").read_text()
    unknown = [a for a in arguments if a.split("=")[0] not in known]
    if unknown:
        sys.stdout.write(f"[E] Unknown option: {unknown[0]}\n&&&& FAILED TensorRT.trtexec [recorded]")
        return 1
    if (folder / "fails.txt").exists():
        sys.stdout.write((folder / "fails.txt").read_text())
        return 1
    options = dict(a.split("=", 1) for a in arguments if "=" in a)
    for option, file in {
        "--exportLayerInfo": f"layers-{version}.json", "--exportProfile": f"profile-{version}.json",
        "--exportTimes": "times.json",
    }.items():  # fmt: skip
        if option in options:
            shutil.copy(RECORDED / file, options[option])
    if "--saveEngine" in options:
        Path(options["--saveEngine"]).write_bytes(b"plan of " + Path(options["--onnx"]).read_bytes()[:8])
    if "--exportOutput" in options:
        shutil.copy(folder / "answer.json", options["--exportOutput"])
    sys.stdout.write((RECORDED / "warned.txt").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
