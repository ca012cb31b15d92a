"""PTQ of a float net by Sony's MCT, in an environment of its own: MCT_PYTHON benchmarks/mct_quantize.py FOLDER

FOLDER holds `job.json` (student, model, data, seed, shape), `weights.safetensors`, `calibration.npz`; `mct.onnx` and
`told.json` come to it. `benchmarks/mct.py` writes and reads them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from functools import partial
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from edgekd.students.registry import find_student
from edgekd.train.teach import load_weights

TPC = "1.0"


def import_mct() -> Any:
    """MCT beside a PyTorch without torchvision, which a package that it needs imports and this net does not use."""
    stub = ModuleType("torchvision")
    stub.__spec__ = ModuleSpec("torchvision", None)
    sys.modules["torchvision"] = stub
    import edgemdt_cl.pytorch  # type: ignore[import-not-found]  # noqa: F401

    del sys.modules["torchvision"]
    import model_compression_toolkit as mct  # type: ignore[import-not-found]

    return mct


def batches(folder: Path) -> Iterator[list[torch.Tensor]]:
    """The calibration batches, each a list of the net's inputs."""
    with np.load(folder / "calibration.npz", allow_pickle=False) as file:
        count = 1 + max(int(key.partition("/")[0]) for key in file.files)
        for i in range(count):
            names = sorted(key for key in file.files if key.startswith(f"{i}/"))
            yield [torch.from_numpy(file[name]) for name in names]


def quantize(folder: Path) -> dict[str, Any]:
    """MCT's PTQ with its defaults and its export, in seconds each."""
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    mct = import_mct()
    net = load_weights(
        find_student(job["student"]).make_student(job["model"], job["data"], job["seed"]).build(), folder
    )
    tpc = mct.get_target_platform_capabilities(tpc_version=TPC, device_type="imx500")
    start = time.perf_counter()
    made, _ = mct.ptq.pytorch_post_training_quantization(
        net.eval(), partial(batches, folder), target_platform_capabilities=tpc
    )
    done = time.perf_counter()
    torch.onnx.export = partial(torch.onnx.export, dynamo=False)  # MCT's operators are written for the older exporter
    mct.exporter.pytorch_export_model(
        made, save_model_path=str(folder / "mct.onnx"), repr_dataset=lambda: iter([[torch.zeros(job["shape"])]])
    )
    names = ("model-compression-toolkit", "mct-quantizers", "torch")
    return {"ptq": done - start, "export": time.perf_counter() - done, "versions": {n: version(n) for n in names}}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    told = quantize(folder)
    (folder / "told.json").write_text(json.dumps(told), encoding="utf-8")
