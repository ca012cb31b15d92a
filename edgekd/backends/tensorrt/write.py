"""The kit: graphs, inputs, expected outputs, the exact commands of both versions, and a check of the answers."""

from __future__ import annotations

import json
import shlex
from itertools import zip_longest
from pathlib import Path

from edgekd.backends.base import Job, write_sums
from edgekd.graph.model import Array
from edgekd.runners import trt

_TEMPLATES = Path(__file__).parent / "kit"
_TITLES = {
    "int8": "the portable graph with biases in float32 on the accumulator's grid",
    "int8-fp16": "the same; what is not quantized, and the scales, in float16",
    "float": "the trained net before quantization",
    "float-fp16": "the same in float16: what int8 has to beat",
}


def write_kit(job: Job, names: list[str], workspace_mib: int, level: int, out: Path) -> None:
    """Write all but the graphs `NAME.onnx`, which lie in `out` already, and the sums of all files."""
    probes = [
        {"inputs": _write(f"inputs-{i}", inputs, out), "expected": _write(f"expected-{i}", expected, out)}
        for i, (inputs, expected) in enumerate(zip_longest(job.inputs, job.expected, fillvalue=dict[str, Array]()))
    ]
    (out / "probes.json").write_text(json.dumps(probes, indent=1), encoding="utf-8")
    builds = [
        trt.build_arguments(f"{n}.onnx", f"{n}.plan", f"{n}-layers.json", "timing.cache", workspace_mib, level)
        for n in names
    ]
    loads = trt.load_argument(probes[0]["inputs"] if probes else {})
    marks = {
        "@NAMES@": " ".join(names),
        "@QUANTIZED@": " ".join(name for name in names if name.startswith("int8")),
        "@BUILD@": "\n".join(map(_script_line, builds)),
        "@RUN@": _script_line([loads, *trt.run_arguments("@.plan", "@-output.json")]),
        "@TIME@": _script_line(trt.time_arguments("@.plan", "@-times.json", 200, 10)),
        "@PROFILE@": _script_line(trt.profile_arguments("@.plan", "@-profile.json", "@-layers.json", 50)),
        "@OPTIONAL@": " ".join(trt.OPTIONAL),
        "@COMMANDS@": "\n".join(f"    trtexec {shlex.join(build)}" for build in builds),
        "@FILES@": "\n".join(f"| `{name}.onnx` | {_TITLES[name]} |" for name in names),
    }
    for template in sorted(_TEMPLATES.iterdir()):
        text = template.read_text(encoding="utf-8")
        for mark, value in marks.items():
            text = text.replace(mark, value)
        (out / template.name).write_text(text, encoding="utf-8")
    write_sums(out)


def _write(kind: str, arrays: dict[str, Array], out: Path) -> dict[str, str]:
    """Arrays as raw little-endian numbers, float32 or whole ones: name to file."""
    files = {name: f"{kind}-{i}.bin" for i, name in enumerate(arrays)}
    for name, file in files.items():
        array = arrays[name]
        (out / file).write_bytes(array.astype("<f4" if array.dtype.kind == "f" else array.dtype).tobytes())
    return files


def _script_line(arguments: list[str]) -> str:
    """A call in a script; `@` stands for the engine's name."""
    return "trtexec " + shlex.join(arguments).replace("@", "$name")
