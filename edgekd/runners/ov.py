"""Run an OpenVINO IR or ONNX file with OpenVINO."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

_TELEMETRY = "openvino_telemetry"
if "openvino" not in sys.modules and _TELEMETRY not in sys.modules:  # its import sends a usage event, unless this fails
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    import openvino

    del sys.modules[_TELEMETRY]
else:
    import openvino

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

LARGEST = 64
"""Largest weight with which two products of uint8 codes fit 16 bits."""
TOOL = f"OpenVINO {openvino.get_version().split('-')[0]}"


def settings(threads: int, device: str = "CPU") -> dict[str, Any]:
    """Compile properties: float32 where a layer is not int8 (the default on some CPUs is bfloat16, on GPUs float16)."""
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    if device != "CPU":
        return {} if device.startswith("NPU") else hint
    return {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False, **hint}


def saturates(file: str = "/proc/cpuinfo") -> bool:
    """As `saturates` in `board.py`, for this file stands alone."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    try:
        return "vnni" not in Path(file).read_text(encoding="utf-8")
    except OSError:
        return True


def is_cut_off(network: Any) -> bool:
    """Whether sums of 8-bit products of an int8 network leave the 16 bits in which this CPU adds pairs of them."""
    constants = (op.data for op in network.get_ordered_ops() if op.get_type_name() == "Constant")
    weights = (data.astype(int) for data in constants if data.dtype == np.int8)
    return saturates() and any(np.abs(codes).max(initial=0) > LARGEST for codes in weights)


class Session:
    """A compiled model that also gives out the tensors in `expose`. `device`: one of `Core().available_devices`."""

    def __init__(self, model: Path, expose: Sequence[str] = (), threads: int = 1, device: str = "CPU") -> None:
        self._core = openvino.Core()
        if device not in self._core.available_devices:
            there = ", ".join(self._core.available_devices)
            raise ValueError(f"OpenVINO finds no device `{device}` here, only {there}")
        self._network = self._core.read_model(str(model))
        known = {name for port in self._network.outputs for name in port.get_names()}
        if new := [name for name in expose if name not in known]:
            self._network.add_outputs(new)
        self._device, self._settings = device, settings(threads, device)
        if device == "CPU" and is_cut_off(self._network):  # float kernels, slower but right
            self._settings["LP_TRANSFORMS_MODE"] = "NO"
        self.compiled = self._core.compile_model(self._network, device, self._settings)
        self._request = self.compiled.create_infer_request()

    def feed(self, inputs: Arrays) -> Any:
        """Inputs as the runtime takes them."""
        return inputs

    def call(self, fed: Any) -> Any:
        """One inference."""
        return self._request.infer(fed)

    def read(self, raw: Any) -> Arrays:
        """Outputs by name."""
        return {name: np.array(value) for port, value in raw.items() for name in port.get_names()}

    def run(self, inputs: Arrays) -> Arrays:
        """Outputs by name."""
        return self.read(self.call(self.feed(inputs)))

    def facts(self) -> dict[str, str]:
        """The devices that run the model, by name."""
        devices = [str(name) for name in self.compiled.get_property("EXECUTION_DEVICES")]
        full = [str(self._core.get_property(name.strip("()"), "FULL_DEVICE_NAME")) for name in devices]
        return {"devices": ", ".join(devices), "device names": ", ".join(full)}

    def layers(self, inputs: Arrays, runs: int = 20) -> list[dict[str, Any]]:
        """Each layer that runs, in order, with its median time over `runs` in milliseconds.

        From performance counters and the execution graph. `nodes` names the graph's tensors made in the layer; none
        where OpenVINO added it.
        """
        compiled = self._core.compile_model(self._network, self._device, {**self._settings, "PERF_COUNT": True})
        request = compiled.create_infer_request()
        request.infer(inputs)
        times: dict[str, list[float]] = {}
        for _ in range(runs):
            request.infer(inputs)
            for info in request.profiling_info:
                if str(info.status).endswith("EXECUTED"):
                    times.setdefault(info.node_name, []).append(info.real_time.total_seconds() * 1e3)
        infos = {op.get_friendly_name(): op.get_rt_info() for op in compiled.get_runtime_model().get_ordered_ops()}
        tensors = {
            op.get_friendly_name(): sorted({name for port in op.outputs() for name in port.get_names()})
            for op in self._network.get_ordered_ops()
        }
        return [
            {
                "name": name,
                "type": _text(infos[name], "layerType"),
                "precision": _precision(infos[name]),
                "ms": float(np.median(times[name])),
                "nodes": [
                    t for part in _text(infos[name], "originalLayersNames").split(",") for t in tensors.get(part, ())
                ],
            }
            for name in infos
            if name in times
        ]


def _precision(info: Any) -> str:
    """What the kernel computes in: `brgconv_avx512_I8` tells it, `runtimePrecision` which 8-bit type that is."""
    kernel = _text(info, "primitiveType").rpartition("_")[2].lower()
    return _text(info, "runtimePrecision") if kernel in ("i8", "u8", "int8", "") else kernel


def _text(info: Any, key: str) -> str:
    return str(info[key].astype(str)) if key in info else ""
