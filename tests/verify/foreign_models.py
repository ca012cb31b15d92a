"""Model files that edgekd did not make: a small net quantized by ONNX Runtime's own tool."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

SHAPE = (1, 3, 16, 16)


def float_net(path: Path, *, batch: int | str = 1, last: str = "Relu") -> Path:
    """Conv-Relu, Conv, residual Add, `last`, global mean, Gemm to five values."""
    rng = np.random.default_rng(3)
    constants = {
        "w1": rng.normal(0, 0.25, (8, 3, 3, 3)), "b1": rng.normal(0, 0.1, 8), "w2": rng.normal(0, 0.15, (8, 8, 3, 3)),
        "b2": rng.normal(0, 0.1, 8), "w3": rng.normal(0, 0.3, (8, 5)), "b3": rng.normal(0, 0.1, 5),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["image", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c2", "r1"], ["a"]),
        helper.make_node(last, ["a"], ["r2"]),
        helper.make_node("GlobalAveragePool", ["r2"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, (batch, *SHAPE[1:]))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, (batch, 5))],
        [numpy_helper.from_array(np.asarray(v, np.float32), n) for n, v in constants.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path


class Pictures(CalibrationDataReader):
    """Pixels in [0, 1]."""

    def __init__(self) -> None:
        rng = np.random.default_rng(4)
        self.left = [{"image": rng.uniform(0, 1, SHAPE).astype(np.float32)} for _ in range(4)]

    def get_next(self):
        return self.left.pop() if self.left else None


def quantized(folder: Path, *, unsigned: bool = True, bits: int = 7, form=QuantFormat.QDQ, **net) -> Path:
    """The net after `quantize_static`; with weights of 7 bits every engine is exact on CPUs without VNNI too."""
    source, path = float_net(folder / "float.onnx", **net), folder / "quantized.onnx"
    kind = QuantType.QUInt8 if unsigned else QuantType.QInt8
    quantize_static(
        source, path, Pictures(), quant_format=form, per_channel=True, activation_type=kind,
        weight_type=QuantType.QInt8, reduce_range=bits == 7, extra_options={"ActivationSymmetric": not unsigned},
    )  # fmt: skip
    return path
