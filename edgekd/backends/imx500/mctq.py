"""Run a file of the dialect with mct-quantizers' operators, in the environment that `edgekd fetch imx500-verify` makes.

    python mctq.py MODEL.onnx INPUTS.npz OUTPUTS.npz

INPUTS: arrays named `NUMBER/INPUT`, NUMBER from 0. OUTPUTS: `NUMBER/OUTPUT` likewise, and `tool`. Alone in a process,
since an assertion that fails in one of these operators ends it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version
from typing import Any

import numpy as np


def session(model: str) -> Any:
    """ONNX Runtime with these operators, nothing optimised."""
    ort, quantizers = import_module("onnxruntime"), import_module("mct_quantizers")
    options = quantizers.get_ort_session_options()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def main(model: str, inputs: str, outputs: str) -> None:
    """All inputs, one after the other."""
    run = session(model)
    names = [value.name for value in run.get_outputs()]
    fed: dict[str, dict[str, Any]] = {}
    with np.load(inputs, allow_pickle=False) as file:
        for key in file.files:
            number, _, name = key.partition("/")
            fed.setdefault(number, {})[name] = file[key]
    found = {f"{number}/{name}": value for number, feed in fed.items()
             for name, value in zip(names, run.run(names, feed), strict=True)}  # fmt: skip
    tool = f"mct-quantizers {version('mct-quantizers')} in ONNX Runtime {version('onnxruntime')}, unoptimised"
    np.savez(outputs, tool=np.array(tool), **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
