"""Build and run an ONNX file with TensorRT's program `trtexec`, versions 10 and 11.

Options, file layouts and messages are those of NVIDIA's trtexec (samples/trtexec and samples/common of its sources) and
of the engine inspector (TensorRT documentation; 11 renamed `Bindings` and split `Format/Datatype`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

PLACE = "/usr/src/tensorrt/bin/trtexec"
WARM_UP_MS = 1000
OPTIONAL = ("--stronglyTyped", "--exposeDMA", "--useSpinWait")
"""Options that not every version has, and that do without: 11 types every network strongly."""
_NOTED = ("unstable", "may be bound by", "insufficient memory", "not enough memory")
_MEMORY = re.compile(r"out of memory|OutOfMemory|insufficient memory|MemoryAllocation|Requested amount of GPU", re.I)
_MANAGED = re.compile(r"TensorRT-managed allocation in .+ now: CPU \d+, GPU (\d+) \(MiB\)")
_WEIGHTED = re.compile(r"conv|gemm|matmul|matrixmultiply|fullyconnected", re.I)


class TensorRtError(RuntimeError):
    """What trtexec could not do, in a sentence."""


def find() -> str | None:
    """The program: `TRTEXEC` in the environment, else in PATH, else where a Jetson keeps it."""
    places = (os.environ.get("TRTEXEC", ""), "trtexec", PLACE)
    return next((found for found in map(shutil.which, filter(None, places)) if found), None)


def program() -> str:
    """The program. Raises TensorRtError where there is none, or one older than 10."""
    found = find()
    if found is None:
        raise TensorRtError(f"trtexec is not here; set TRTEXEC to it (a Jetson keeps it at {PLACE})")
    if int(version().split(".")[0]) < 10:
        raise TensorRtError(f"TensorRT {version()} is too old: 10 or 11 is needed")
    return found


def version() -> str:
    """`10.3.0`, from the banner `[TensorRT v100300]`; `8.5.2` from `v8502`; `0` where there is no program."""
    found = find()
    match = re.search(r"\[TensorRT v(\d+?)(\d\d?)(\d\d)\]", _help(found)) if found else None
    return ".".join(str(int(part)) for part in match.groups()) if match else "0"


@lru_cache(maxsize=8)
def _help(found: str) -> str:
    out = subprocess.run([found, "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    return out.stdout.decode("utf-8", "replace")


def __getattr__(name: str) -> str:
    """`TOOL`, made when it is asked for, since the program must be called. One that replays recordings says so."""
    if name != "TOOL":
        raise AttributeError(name)
    found = find()
    if found is None:
        return "TensorRT, no trtexec here"
    return f"TensorRT {version()}, trtexec" + (", recorded outputs" if "[recorded]" in _help(found) else "")


# Command lines, without the program: the kit writes the same ones into its scripts.


def build_arguments(model: str, plan: str, layers: str, cache: str, workspace_mib: int, level: int) -> list[str]:
    """Build a plan of a strongly typed network and write what its layers became."""
    return [
        f"--onnx={model}", f"--saveEngine={plan}", "--stronglyTyped", "--skipInference",
        "--profilingVerbosity=detailed", f"--timingCacheFile={cache}", f"--memPoolSize=workspace:{workspace_mib}",
        f"--builderOptimizationLevel={level}", f"--exportLayerInfo={layers}",
    ]  # fmt: skip


def load_argument(files: Mapping[str, str]) -> str:
    """Inputs from files: raw, little-endian."""
    return "--loadInputs=" + ",".join(f"{name}:{file}" for name, file in files.items())


def run_arguments(plan: str, output: str) -> list[str]:
    """One inference, outputs as JSON."""
    return [f"--loadEngine={plan}", f"--exportOutput={output}", "--iterations=1", "--warmUp=0", "--duration=0"]


def time_arguments(plan: str, times: str, runs: int, seconds: float) -> list[str]:
    """Time at least `runs` inferences for at least `seconds`, copies and computation one after the other."""
    return [
        f"--loadEngine={plan}", "--useCudaGraph", "--useSpinWait", "--exposeDMA", f"--warmUp={WARM_UP_MS}",
        f"--duration={seconds:g}", f"--iterations={runs}", "--avgRuns=100", "--percentile=50,90,95,99",
        f"--exportTimes={times}",
    ]  # fmt: skip


def profile_arguments(plan: str, profile: str, layers: str, runs: int) -> list[str]:
    """Time every layer, in a run of its own, since that is slower."""
    return [f"--loadEngine={plan}", "--dumpProfile", "--separateProfileRun", f"--exportProfile={profile}",
            f"--exportLayerInfo={layers}", f"--iterations={runs}"]  # fmt: skip


def call(arguments: Sequence[str], timeout: float = 3600) -> str:
    """What trtexec prints. Raises TensorRtError with the reason where it fails."""
    found = program()
    known = [a for a in arguments if a.split("=")[0] not in OPTIONAL or a.split("=")[0] in _help(found)]
    try:
        done = subprocess.run([found, *known], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise TensorRtError(f"trtexec did not end within {timeout:g} s") from None
    text = done.stdout.decode("utf-8", "replace")
    if done.returncode or "&&&& FAILED" in text:
        raise TensorRtError(_reason(text, done.returncode))
    return text


def _reason(text: str, code: int) -> str:
    """The first cause among the lines that trtexec marks as errors."""
    errors = [line.split("[E]", 1)[1].strip() for line in text.splitlines() if "[E]" in line]
    for line in errors:
        node = re.search(r"Could not find any implementation for node (.+?)\.?\)?\.?$", line)
        if node:
            return f"TensorRT has no kernel for `{node.group(1)}`; leave that layer in float"
    if any(_MEMORY.search(line) for line in errors):
        return "TensorRT ran out of memory; lower `workspace_mib`, or stop what else runs there"
    return "trtexec failed: " + (errors[0] if errors else f"exit code {code}")


def warnings(text: str) -> list[str]:
    """Warnings of trtexec that tell how far its figures can be trusted, each once."""
    lines = [line.split("[W]", 1)[1].strip() for line in text.splitlines() if "[W]" in line]
    return list(dict.fromkeys(line for line in lines if any(mark in line for mark in _NOTED)))


# Plans


def build(model: Path, workspace_mib: int = 2048, level: int = 3) -> Path:
    """The plan of an ONNX file, beside it; built where it is absent for these bytes, this version and these options."""
    key = hashlib.sha256(model.read_bytes() + f"{workspace_mib} {level}".encode()).hexdigest()[:12]
    plan = model.with_name(f"{model.stem}-{version()}-{key}.plan")
    if not plan.exists():
        part, layers = plan.with_suffix(".part"), plan.with_suffix(".layers.json")
        text = call(build_arguments(str(model), str(part), str(layers), str(timing_cache()), workspace_mib, level))
        plan.with_suffix(".log").write_text(text, encoding="utf-8")
        part.replace(plan)
    return plan


def timing_cache() -> Path:
    """What TensorRT measured of its kernels here, kept for the next build, which it makes much shorter."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgekd"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.gettempdir())
    return folder / f"tensorrt-{version()}.timing"


def summary(plan: Path) -> dict[str, Any]:
    """What a plan's layers became: the share of weighted layers in int8, and how many only change a layout."""
    found = json.loads(plan.with_suffix(".layers.json").read_text(encoding="utf-8"))["Layers"]
    found = [layer for layer in found if isinstance(layer, dict)]
    weighted = [layer for layer in found if _is_weighted(layer)]
    in_int8 = [layer for layer in weighted if _is_int8(layer)]
    return {
        "layers": len(found),
        "weighted_layers": len(weighted),
        "int8_share": len(in_int8) / len(weighted) if weighted else 0.0,
        "float_layers": [layer["Name"] for layer in weighted if not _is_int8(layer)],
        "reformats": sum(layer.get("LayerType") == "Reformat" for layer in found),
        "warnings": warnings(plan.with_suffix(".log").read_text(encoding="utf-8")),
    }


def _is_weighted(layer: Mapping[str, Any]) -> bool:
    kinds = " ".join(str(layer.get(key, "")) for key in ("LayerType", "ParameterType"))
    return bool(_WEIGHTED.search(kinds)) or ("Weights" in layer and layer.get("LayerType") != "Constant")


def _is_int8(layer: Mapping[str, Any]) -> bool:
    """Whether it reads int8, and its weights or its kernel's name are int8 too."""
    weights, tactic = str(layer.get("Weights", {}).get("Type", "")), str(layer.get("TacticName", ""))
    reads = any("int8" in _form(tensor) for tensor in layer.get("Inputs", []))
    return reads and (weights == "Int8" or re.search(r"i8|int8|imma", tactic) is not None)


def _form(tensor: Mapping[str, Any]) -> str:
    """Format and type of a tensor: one field in 10, two in 11."""
    fields = ("Format/Datatype", "Format", "Datatype", "DataType")
    return " ".join(str(tensor[key]) for key in fields if key in tensor).lower()


def _precision(layer: Mapping[str, Any]) -> str:
    """int8, float16 or float32: what it computes with, or what it writes."""
    if _is_int8(layer):
        return "int8"
    form = " ".join(_form(tensor) for tensor in layer.get("Outputs", []))
    names = {"int8": "int8", "half": "float16", "fp16": "float16", "float": "float32", "fp32": "float32"}
    return next((name for word, name in names.items() if re.search(r"\b" + word, form)), "")


# The parts of an ONNX file that are needed, read without the onnx package (field numbers of onnx.proto)


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Length-delimited fields of a protobuf message: number and content."""
    at = 0
    while at < len(data):
        key, at = _varint_at(data, at)
        kind = key & 7
        if kind == 0:
            _, at = _varint_at(data, at)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            size, at = _varint_at(data, at)
            yield key >> 3, data[at : at + size]
            at += size


def _varint_at(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if not data[at - 1] & 128:
            return value, at


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _in_graph(model: Path, field: int) -> list[bytes]:
    """Messages of a field of ModelProto.graph (7)."""
    graphs = [content for number, content in _fields(model.read_bytes()) if number == 7]
    return [content for graph in graphs for number, content in _fields(graph) if number == field]


def operators(model: Path) -> list[tuple[str, str, str]]:
    """Name as TensorRT gives it, type and first output of every operator: fields 3, 4 and 2 of NodeProto (1)."""
    out = []
    for node in _in_graph(model, 1):
        parts = [(number, content.decode("utf-8")) for number, content in _fields(node) if number in (2, 3, 4)]
        name, kind, made = (next((text for n, text in parts if n == number), "") for number in (3, 4, 2))
        out.append((name or "node_of_" + made, kind, made))
    return out


def with_outputs(model: Path, tensors: Sequence[str]) -> bytes:
    """The model with more outputs, codes as int8: serialized protobuf messages merge when joined.

    ModelProto.graph is field 7, GraphProto.output 12, ValueInfoProto.name 1 and .type 2, TypeProto.tensor_type 1,
    its elem_type 1: INT8 is 3, FLOAT 1.
    """
    codes = {made for _, kind, made in operators(model) if kind == "QuantizeLinear"}
    known = {dict(_fields(value))[1].decode() for value in _in_graph(model, 12)}
    added = b""
    for name in (name for name in tensors if name not in known):
        kind = _field(2, _field(1, b"\x08" + _varint(3 if name in codes else 1)))
        added += _field(12, _field(1, name.encode()) + kind)
    return model.read_bytes() + _field(7, added)


class Session:
    """A plan of the model that also gives out the tensors in `expose`. Each inference is a call of trtexec.

    `threads` says nothing here. Raises TensorRtError where the plan cannot be built.
    """

    def __init__(
        self, model: Path, expose: Sequence[str] = (), threads: int = 1, workspace_mib: int = 2048, level: int = 3
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="trt-")
        self._source, model = Path(model), Path(model)
        if expose:
            more = with_outputs(model, expose)
            model = model.with_name(f"{model.stem}-{hashlib.sha256(more).hexdigest()[:12]}.onnx")
            model.write_bytes(more)
        self.plan = build(model, workspace_mib, level)
        self._codes = {made for _, kind, made in operators(self._source) if kind == "QuantizeLinear"}

    def feed(self, inputs: Arrays) -> dict[str, str]:
        """Inputs as raw files."""
        files = {name: str(Path(self._folder.name) / f"{i}.bin") for i, name in enumerate(inputs)}
        for name, file in files.items():
            Path(file).write_bytes(np.ascontiguousarray(inputs[name]).tobytes())
        return files

    def call(self, fed: Mapping[str, str]) -> str:
        """One inference, with start of the program and loading of the plan: `time_model` tells the engine's time."""
        output = str(Path(self._folder.name) / "output.json")
        call([load_argument(fed), *run_arguments(str(self.plan), output)], timeout=600)
        return output

    def read(self, raw: str) -> Arrays:
        """Outputs by name."""
        return {
            entry["name"]: np.array(entry["values"], np.int8 if entry["name"] in self._codes else np.float32).reshape(
                [int(n) for n in entry["dimensions"].split("x")]
            )
            for entry in _numbers(Path(raw).read_text(encoding="utf-8"))
        }

    def run(self, inputs: Arrays) -> Arrays:
        """Outputs by name."""
        return self.read(self.call(self.feed(inputs)))

    def layers(self, inputs: Arrays, runs: int) -> list[dict[str, Any]]:
        """Time of every layer as it runs, in ms: the median over runs, or the mean where a version tells only that."""
        profile, info = (Path(self._folder.name) / name for name in ("profile.json", "layers.json"))
        command = profile_arguments(str(self.plan), str(profile), str(info), runs)
        call([load_argument(self.feed(inputs)), *command], timeout=600)
        known = {layer["Name"]: layer for layer in json.loads(info.read_text(encoding="utf-8"))["Layers"]}
        tensors = {name: made for name, _, made in operators(self._source)}
        times = [entry for entry in json.loads(profile.read_text(encoding="utf-8")) if "name" in entry]
        return [_timed_layer(entry, known.get(entry["name"], {}), tensors) for entry in times]


def _numbers(text: str) -> Any:
    """JSON as C++ streams write it: `nan` and `inf` stand bare among the numbers."""
    try:
        return json.loads(text)
    except ValueError:
        return json.loads(re.sub(r"\binf\b", "Infinity", re.sub(r"-?\bnan\b", "NaN", text)))


def _timed_layer(entry: Mapping[str, Any], layer: Mapping[str, Any], tensors: Mapping[str, str]) -> dict[str, Any]:
    marked = re.findall(r"\[ONNX Layer: (.+?)\]", str(layer.get("Metadata", "")))
    return {
        "name": entry["name"],
        "type": layer.get("LayerType", ""),
        "precision": _precision(layer),
        "ms": entry.get("medianMs", entry["averageMs"]),
        "nodes": [tensors[name] for name in dict.fromkeys(marked) if name in tensors],
    }


def time_model(
    model: str, options: Mapping[str, Any], inputs: Arrays, warmup: int, runs: int, seconds: float
) -> dict[str, Any]:
    """Seconds of every timed inference: copies and computation together, and the GPU's computation alone.

    trtexec writes its warm-up too: what began within it, and the first `warmup` inferences, are left out. `busy`: when
    they ran (monotonic, s; later by what the program takes to end); `gpu_bytes`: what TensorRT holds on the GPU.
    """
    known = {name: value for name, value in options.items() if name in ("workspace_mib", "level")}
    session = Session(Path(model), **known)
    with tempfile.TemporaryDirectory() as folder:
        times = Path(folder) / "times.json"
        command = time_arguments(str(session.plan), str(times), warmup + runs, seconds)
        text = call([load_argument(session.feed(inputs)), *command], seconds + 600)
        entries = json.loads(times.read_text(encoding="utf-8"))
    end, kept = time.monotonic(), [e for e in entries if e["startComputeMs"] >= WARM_UP_MS][warmup:]
    if not kept:
        raise TensorRtError(f"the {len(entries)} inferences of trtexec were all warm-up; measure longer")
    found, managed = summary(session.plan), _MANAGED.findall(text)
    return {
        "seconds": [entry["latencyMs"] / 1e3 for entry in kept],
        "compute_seconds": [entry["computeMs"] / 1e3 for entry in kept],
        "busy": [end - (kept[-1]["endD2hMs"] - kept[0]["startH2dMs"]) / 1e3, end],
        "gpu_bytes": int(managed[-1]) * 2**20 if managed else None,
        "method": "trtexec: copies to the GPU, computation and copies back of each inference, as a CUDA graph",
        "warnings": list(dict.fromkeys(warnings(text) + found.pop("warnings"))),
        **found,
    }
