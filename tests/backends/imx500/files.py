"""What the tests give the back end: a network in the sensor's dialect, and the vendor's files, written here."""

from __future__ import annotations

import io
import json
import struct
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
from edgekd.backends.base import Artifact, Job
from edgekd.backends.imx500.kit import runner_options
from edgekd.graph.model import Graph
from edgekd.graph.records import with_record
from edgekd.schema.io import ImageInput, IoRecord, MaskOutput, Region
from onnx import TensorProto, helper, numpy_helper

DOMAIN = "mct_quantizers"
OPTIONS = SimpleNamespace(persistent=False, format="RGB")
MEMBERS = (
    "sdpsA.bin", "sdpsC.bin", "cfgA.bin", "cfgC.bin", "l2staticData.bin", "dnnParams.xml", "dnnParams.xsd",
    "verTable.txt", "manifest.json",
)  # fmt: skip


def quantizer(x: str, y: str, threshold: float, signed: bool) -> onnx.NodeProto:
    return helper.make_node(
        "ActivationPOTQuantizer", [x], [y], name=f"q_{y}", domain=DOMAIN, num_bits=8, signed=int(signed),
        threshold=threshold, mctq_version="1.6.0",
    )  # fmt: skip


def dialect(size: tuple[int, int] = (6, 10), signed: bool = True, threshold: float = 4.0) -> onnx.ModelProto:
    """Input 3 x H x W with T = 1, a 1x1 Conv of weights 1, 2, 4, output 1 x H x W, signed."""
    height, width = size
    weight = np.array([1, 2, 4], np.float32).reshape(1, 3, 1, 1)
    nodes = [
        quantizer("input", "x", 1.0, signed),
        helper.make_node("Conv", ["x", "w"], ["sum"], name="conv", kernel_shape=[1, 1]),
        quantizer("sum", "output", threshold, True),
    ]
    graph = helper.make_graph(
        nodes, "network",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch_size", 3, height, width])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch_size", 1, height, width])],
        [numpy_helper.from_array(weight, "w")],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def record(size: tuple[int, int] = (6, 10), region: Region | None = None) -> IoRecord:
    half, resize = (128 / 255,) * 3, "stretch" if region else "none"
    given = ImageInput(name="input", shape=(1, 3, *size), mean=half, std=half, resize=resize, region=region)
    return IoRecord(inputs=(given,), outputs=(MaskOutput(name="output"),))


def answer(pixels: np.ndarray, threshold: float = 4.0, signed: bool = True) -> np.ndarray:
    """Codes of the output for pixels (H, W, 3), in integers: Conv's codes are its input's, 1/128 or 1/256 each."""
    code = pixels.astype(int) - 128 * signed
    total = code @ np.array([1, 2, 4])  # in steps of 1/128 signed, 1/256 unsigned
    step = int(threshold) * (1 if signed else 2)  # of the output, in those of the input
    return np.clip(np.rint(total / step), -128, 127).astype(np.int8)


def job(probes: int = 2, size: tuple[int, int] = (6, 10), region: Region | None = None, signed: bool = True) -> Job:
    """Random pixels as inputs, the integers' answers as expected values."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (*size, 3)) for _ in range(probes)]
    inputs = [((p - 128 * signed) / (128 if signed else 256)).astype(np.float32).transpose(2, 0, 1) for p in pictures]
    expected = [answer(p, signed=signed)[None, None].astype(np.float32) * 4 / 128 for p in pictures]
    graph = with_record(Graph(dialect(size, signed)), record(size, region))
    return Job(graph, graph, [{"input": x[None]} for x in inputs], [{"output": y} for y in expected])


def artifact(backend: str = "imx500") -> Artifact:
    """What the back end records of the kit; the estimate is a made one."""
    told = {"estimate": "19% to 22%", "activations": [900_000, 1_100_000], "coefficients": [700_000, 720_000]}
    return Artifact(
        backend=backend, kind="kit", tool="a test", model="network.onnx", runner="imx",
        options=runner_options(dialect(), OPTIONS), facts={"persistent input": False, "memory": told},
    )  # fmt: skip


def xml(size: tuple[int, int] = (6, 10), scale: float = 1 / 128, out_scale: float = 4 / 128, **more: object) -> str:
    """`dnnParams.xml` as the converter is known to write it; `more`: totals, `form` of the input."""
    height, width = size
    form = more.get("form", "signed")
    totals = {"coefficientsSize": 707744, "reservedMemorySize": 1024, "networksRuntimeSize": 1012736}

    def tensor(kind: str, scale: float, form: object, dims: tuple[int, ...]) -> str:
        sizes = "".join(
            f'<dimension size="{s}" serializationOrder="{len(dims) - 1 - i}" ordinal="{i}" padding="0"/>'
            for i, s in enumerate(dims)
        )
        return (
            f'<{kind}s><{kind} ordinal="0" name="{kind}:0" l2Offset="0" numOfDimensions="{len(dims)}" '
            f'bitsPerElement="8" shift="0" scale="{scale!r}" format="{form}"><dimensions>{sizes}</dimensions>'
            f"</{kind}></{kind}s>"
        )

    memory = " ".join(f'{key}="{more.get(key, value)}"' for key, value in totals.items())
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<dnnParams><networks>'
        '<network name="network" ordinal="0" type="">'
        f"{tensor('inputTensor', scale, form, (3, height, width))}"
        f"{tensor('outputTensor', out_scale, 'signed', (1, height, width))}"
        f'</network></networks><l2memory totalSize="8388480" {memory}/></dnnParams>\n'
    )


def report(fits: bool = True, runtime: str = "989.00KB", model: str = "690.34KB") -> str:
    return json.dumps({
        "Memory Report": {
            "Name": "network", "Runtime Memory Physical Size": runtime, "Model Memory Physical Size": model,
            "Reserved Memory": "1.00KB", "Memory Usage": "1.64MB", "Total Memory Available On Chip": "8.00MB",
            "Memory Utilization": "21%", "Fit In Chip": fits, "Input Persistent": False, "Networks": [],
        }
    })  # fmt: skip


def packed(params: str, **changed: bytes) -> bytes:
    """`packerOut.zip`; `changed`: other bytes of members, by name with `_` for the dot."""
    held = dict.fromkeys(MEMBERS, b"\x00" * 64)
    held["dnnParams.xml"] = params.encode()
    held["manifest.json"] = b'{"dnnModelVersion": "0314150000000000"}'
    held |= {key.replace("_", "."): value for key, value in changed.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in held.items():
            archive.writestr(name, data)
    return buffer.getvalue()


STAND_IN = """#!{python}
# A stand-in for Sony's converter: it converts nothing, it emits the public set of output files.
import shutil, sys, time
from pathlib import Path
if "--version" in sys.argv:
    print("stand-in 0.1")
    sys.exit(0)
model, out = (Path(sys.argv[sys.argv.index(option) + 1]) for option in ("-i", "-o"))
(Path(__file__).parent / "called.txt").write_text(" ".join(sys.argv[1:]))
print(f"Converting {{model.name}}", flush=True)
{before}
for file in (Path(__file__).parent / "emits").iterdir():
    shutil.copy(file, out)
print("packer zip successfully generated under", out)
{after}
"""


def stand_in(folder: Path, before: str = "", after: str = "", leave_out: Iterable[str] = (), **files: bytes) -> Path:
    """A program that emits the public output set, which it does not make; `files`: other bytes, by `xml`, `zip`,
    `report`."""
    emits = folder / "emits"
    emits.mkdir(parents=True)
    made = {
        "dnnParams.xml": files.get("xml", xml().encode()),
        "packerOut.zip": files.get("zip", packed(files.get("xml", xml().encode()).decode("latin-1"))),
        "network_MemoryReport.json": files.get("report", report().encode()),
        "network.pbtxt": b"{}",
    }
    for name, data in made.items():
        if name not in leave_out:
            (emits / name).write_bytes(data)
    program = folder / "imxconv-pt"
    program.write_text(STAND_IN.format(python=sys.executable, before=before, after=after))
    program.chmod(0o755)
    return program


def newc(members: dict[str, bytes]) -> bytes:
    """A CPIO archive as cpio(5) describes `newc`."""
    out = b""
    for name, data in {**members, "TRAILER!!!": b""}.items():
        owner = [0, 0, 0] if name == "TRAILER!!!" else [0o100644, 1000, 1000]
        numbers = [0, *owner, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        out += b"070701" + "".join(f"{n:08X}" for n in numbers).encode() + name.encode() + b"\0"
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    return out + b"\0" * (-len(out) % 512)


def info(size: tuple[int, int] = (6, 10), signed: bool = True, order: str = "RGB", **changed: object) -> str:
    """`network_info.txt` of one network with one output; `changed`: other values by key."""
    height, width = size
    offset, gain = ("0x1800" if signed else "0x0000"), "0x0400"
    straight, crossed = (gain, "0x0000") if order == "RGB" else ("0x0000", gain)
    told = {
        "version": "020400", "networkID": "000000", "networkType": 0, "apParamSize": 568, "networkNum": 1,
        "networkOrdinal": 0, "inputTensorWidth": width, "inputTensorHeight": height, "inputTensorFormat": order,
        "inputTensorNorm_K00": straight, "inputTensorNorm_K02": crossed, "inputTensorNorm_K03": offset,
        "inputTensorNorm_K11": gain, "inputTensorNorm_K13": offset, "inputTensorNorm_K20": crossed,
        "inputTensorNorm_K22": straight, "inputTensorNorm_K23": offset, "outputTensorNum": 1,
        "outputTensorDimSize1": height * width, "outputTensorPadding1": 0, "outputTensorBytesPerElement1": 1,
    } | changed  # fmt: skip
    return "".join(f"{key}={value}\n" for key, value in told.items())


def rpk(told: str | None = None, payloads: tuple[bytes, ...] = (b"a" * 100, b"b" * 40), locked: bool = False,
        intrinsics: dict[str, object] | None = None) -> bytes:  # fmt: skip
    """A firmware file."""
    out = b""
    for i, payload in enumerate(payloads):
        flags = struct.pack(">HHBBBB", len(payloads), i + 1, 0, 0, int(locked), int(i == 0))
        out += b"9464" + struct.pack(">I", len(payload)) + flags + b"\0" * 44 + payload + b"3695" + b"\0" * 32 * locked
    members = {"imx500_regs": b"r" * 392, "network_info.txt": (told if told is not None else info()).encode()}
    if intrinsics is not None:
        members["network_intrinsics"] = json.dumps(intrinsics).encode()
    return out + newc(members)
