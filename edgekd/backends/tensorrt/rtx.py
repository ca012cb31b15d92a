"""Parse and build ONNX files with TensorRT-RTX, in the environment that `edgekd fetch tensorrt-rtx` makes.

    python rtx.py FILE... > RESULT.json

RESULT: `version`, and by file `layers`, the parser's `errors` (`node`, `operator`, `text`), `built`, and the errors
that were `logged` on the way. Needs no GPU: kernels are chosen later, on one, so that `built` says nothing about them.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def look(trt: Any, model: Path) -> dict[str, Any]:
    """What parser and builder say to one file."""
    log = logger(trt)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    parsed = parser.parse(model.read_bytes())
    errors = [parser.get_error(i) for i in range(parser.num_errors)]
    plan = builder.build_serialized_network(network, builder.create_builder_config()) if parsed else None
    told = [{"node": e.node_name(), "operator": e.node_operator(), "text": e.desc()} for e in errors]
    return {"layers": network.num_layers, "errors": told, "built": plan is not None, "logged": log.errors}


def logger(trt: Any) -> Any:
    """A logger that keeps errors; that there is no GPU is no error here."""

    class Kept(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR and "cudaError" not in message and "CUDA" not in message:
                self.errors.append(message)

    return Kept()


def main(models: list[str]) -> None:
    """The library writes to stdout too, so that is set aside for the result."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    trt = import_module("tensorrt_rtx_bindings")
    found = {model: look(trt, Path(model)) for model in models}
    json.dump({"version": trt.__version__, "files": found}, out)


if __name__ == "__main__":
    main(sys.argv[1:])
