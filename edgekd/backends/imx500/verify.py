"""Whether a file of the dialect gives the codes it should: every tensor, in the operators of mct-quantizers."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from edgekd.backends.imx500.inverse import read
from edgekd.errors import MissingError, ProblemsError
from edgekd.graph.model import Array, Graph
from edgekd.toolchains.cache import python_of

LOCK = "imx500-verify"
TIMEOUT = 600.0
"""Seconds for all inputs. Ours: an inference of a PicoSAM3 takes two."""
_SCRIPT = Path(__file__).with_name("mctq.py")
Arrays = dict[str, Array]


@dataclass(frozen=True)
class Verdict:
    """What came out: codes compared, those that are equal, the first tensor that differs; or why nothing was run."""

    tool: str = ""
    codes: int = 0
    equal: int = 0
    first: str = ""
    reason: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether all codes are equal; None where nothing was compared."""
        return self.equal == self.codes if self.codes else None

    def __str__(self) -> str:
        if self.holds is None:
            return f"not run: {self.reason}"
        share = "100 %" if self.holds else f"{np.floor(1e6 * self.equal / self.codes) / 1e4:.4f} %"
        return f"{share} of {self.codes:,} codes equal in {self.tool}" + (
            f", `{self.first}` first" if self.first else ""
        )


def check(model: onnx.ModelProto, inputs: Sequence[Arrays], expected: Sequence[Arrays]) -> Verdict:
    """Run a file of the dialect and compare every tensor of codes that is `expected`, for each of the inputs.

    `expected` names tensors as the portable graph does (`X.q`); one that the file lacks differs everywhere. Inputs are
    in the order of the file's. Never raises for what the operators do: without their environment, or where they end the
    process, the verdict says so, and where a quantizer is none that can be read.
    """
    try:
        made, tool = traces(model, inputs)
    except (MissingError, ProblemsError) as error:
        return Verdict(reason=f"{error.message}; {error.hint}" if error.hint else error.message)
    codes = equal = 0
    first = ""
    for found, wanted in zip(made, expected, strict=True):
        for name, want in ((name, want) for name, want in wanted.items() if want.dtype.kind in "iu"):
            got = found.get(name, np.empty(0))
            same = int((got == want).sum()) if got.shape == want.shape else 0
            codes, equal = codes + want.size, equal + same
            first = first or (name if same < want.size else "")
    return Verdict(tool, codes, equal, first, "" if codes else "no codes are expected")


def expected(graph: Graph, inputs: Iterable[Arrays]) -> list[Arrays]:
    """Codes of each QuantizeLinear of a portable graph in ONNX Runtime with nothing optimised: the same float sums."""
    from edgekd.runners import ort  # late: a light command needs none

    names = [node.output[0] for node in graph.codes()]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "graph.onnx"
        onnx.save(graph.model, path)
        session = ort.Session(path, expose=names, optimise=False)
        found = [session.run(x) for x in inputs]
    return [{name: trace[name] for name in names} for trace in found]


def traces(model: onnx.ModelProto, inputs: Sequence[Arrays]) -> tuple[list[Arrays], str]:
    """Codes of each quantizer of a file of the dialect, by its node's name, and the tool that made them.

    Raises MissingError where its environment was not fetched, or where the operators end the process; ProblemsError as
    `read`.
    """
    pairs, python = Graph(read(model)), python_of(LOCK)
    names = [value.name for value in model.graph.input]
    fed = {f"{i}/{name}": value for i, x in enumerate(inputs) for name, value in zip(names, x.values(), strict=True)}
    grids = [(q.output[0], pairs.readers[q.output[0]][0].output[0], pairs.scalar(q.input[1]), pairs.code_type(q))
             for q in pairs.codes()]  # fmt: skip
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("model.onnx", "inputs.npz", "outputs.npz")]
        onnx.save(_exposed(model, [real for _, real, _, _ in grids]), paths[0])
        np.savez(paths[1], **fed)  # type: ignore[arg-type]
        _run([str(python), str(_SCRIPT), *map(str, paths)])
        with np.load(paths[2], allow_pickle=False) as found:
            tool = str(found["tool"])
            out = [{codes: np.rint(found[f"{i}/{real}"] / scale).astype(kind) for codes, real, scale, kind in grids}
                   for i in range(len(inputs))]  # fmt: skip
    return out, tool


def _exposed(model: onnx.ModelProto, tensors: Sequence[str]) -> onnx.ModelProto:
    """The model with these tensors as outputs too."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {value.name for value in copy.graph.output}
    added = (name for name in tensors if name not in known)
    copy.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in added)
    return copy


def _run(command: Sequence[str]) -> None:
    """Raises MissingError where the process does not come to its end, with what it says last."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        raise MissingError(f"mct-quantizers' operators give no answer within {TIMEOUT:.0f} s") from None
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        said = f", {lines[-1]}" if lines else ""
        raise MissingError(f"mct-quantizers' operators end the process ({done.returncode}){said}")
