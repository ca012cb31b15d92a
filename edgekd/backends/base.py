"""What a backend is, and the record of what it made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, Field

from edgekd.errors import MissingError, Problem, RequestError
from edgekd.graph.alternatives import alternative
from edgekd.graph.model import Array, Graph
from edgekd.graph.reasons import Reason
from edgekd.resources import sha256
from edgekd.schema.base import Strict
from edgekd.schema.target import Engine

RECORD = "artifact.json"
FIRMWARE = "firmware"
"""Folder beside a bundle with the firmware that was made of it."""
_QUANTIZATION = ("QuantizeLinear", "DequantizeLinear", "Constant")


class Artifact(Strict):
    """What was compiled, `artifact.json` beside it. A kit is everything up to the step that needs the device."""

    backend: str
    kind: Literal["artifact", "kit"]
    tool: str = Field(description="Program and version that compiled it.")
    model: str = Field(description="File that is run, or that the device compiles.")
    runner: Literal["ort", "ov", "tfl", "trt", "imx"] | None = Field(
        None, description="Runner that opens it, where its runtime is; a kit's runner builds it first."
    )
    options: dict[str, Any] = Field(default_factory=dict, description="What the runner is told.")
    beside: dict[str, str] = Field(
        default_factory=dict,
        description="Other models of the folder to time beside it, by name: the same net in float.",
    )
    observe: Literal["each", "all"] = Field(
        "each",
        description="`each`: tensors are looked at one at a time, since exposing them changes what is fused.",
    )
    code_offset: int = Field(0, description="The codes of the tensors in `moved` are the portable graph's plus this.")
    moved: tuple[str, ...] = Field((), description="Tensors of codes that were given another type.")
    facts: dict[str, Any] = Field(default_factory=dict, description="What the compiler reported.")


def read_artifact(folder: Path) -> Artifact:
    """The record in an artifact's folder. Raises MissingError or RequestError."""
    try:
        return Artifact.model_validate_json((folder / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingError(f"`{folder / RECORD}` does not exist", "compile again with `edgekd compress`") from None
    except ValueError:
        raise RequestError(f"`{folder / RECORD}` is damaged", "compile again with `edgekd compress`") from None


@dataclass(frozen=True)
class Job:
    """What a backend compiles: the portable graph, its float twin, and inputs with the golden outputs."""

    graph: Graph
    reference: Graph
    inputs: list[dict[str, Array]]
    expected: list[dict[str, Array]]


class Backend(Protocol):
    """Checks and compiles portable graphs for one engine."""

    package: str | None
    Options: type[BaseModel]

    def check(self, graph: Graph, engine: Engine) -> list[Problem]:
        """Every reason why the engine would not run the graph as it stands."""

    def compile(self, job: Job, options: Any, out: Path) -> Artifact:
        """Compile into the folder `out`."""


@runtime_checkable
class Explains(Protocol):
    """A backend that knows why its engine is slow; not every one does."""

    def reasons(self, graph: Graph, machines: Sequence[str]) -> Iterator[Reason]:
        """What keeps the graph slow on hosts of these kinds (`uname -m`), the best explanation of a layer first."""


class FirmwareRecord(Strict):
    """What lies in a firmware's folder, `firmware.json` there."""

    kind: Literal["kit", "converted", "firmware"] = Field(
        description="A kit lacks what the vendor's program makes; converted, it is still to be packaged on the device."
    )
    tool: str = Field("", description="Program and version that converted it.")
    facts: dict[str, Any] = Field(default_factory=dict, description="What was found in the vendor's files.")
    notes: tuple[str, ...] = Field((), description="What to know of it.")
    next: tuple[str, ...] = Field((), description="What to do next, in order.")


@runtime_checkable
class Firmware(Protocol):
    """A backend whose kit becomes the firmware of a device by a program that the user brings."""

    def firmware(self, kit: Path, out: Path, request: FirmwareRequest) -> FirmwareRecord:
        """Fill `out`, which holds a copy of the kit. Raises RequestError, GateFailedError or MissingError."""

    def loadable(self, folder: Path) -> Path | None:
        """The file of such a folder that the device is given; None where it is not made yet."""


@dataclass(frozen=True)
class FirmwareRequest:
    """What a person gives: the vendor's program, a file packaged on the device, seconds to wait; who hears of it."""

    converter: Path | None = None
    packaged: Path | None = None
    timeout: float = 3600.0
    say: Callable[[str], None] = lambda text: None


def write_sums(folder: Path) -> None:
    """`SHA256SUMS` of every other file in a kit's folder, as `sha256sum --check` reads it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "SHA256SUMS")
    sums = "".join(f"{sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files)
    (folder / "SHA256SUMS").write_text(sums, encoding="utf-8")


def check_operators(graph: Graph, engine: Engine) -> list[Problem]:
    """Operators and opset against the descriptor."""
    problems = []
    known = {*engine.operators, *_QUANTIZATION}
    where = {node.op_type: node.output[0] for node in reversed(graph.nodes) if node.op_type not in known}
    for kind, name in sorted(where.items()):
        problems.append(Problem(name, f"the engine does not run `{kind}`", alternative(kind)))
    if graph.opset > engine.opset:
        problems.append(Problem("opset", f"the graph has {graph.opset}, the engine reads {engine.opset}"))
    return problems
