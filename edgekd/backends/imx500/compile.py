"""Sony's IMX500: a checked kit for the converter that the user brings."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from edgekd.backends.base import Artifact, FirmwareRecord, FirmwareRequest, Job, check_operators, read_artifact
from edgekd.backends.imx500 import dialect, firmware, memory, rules, verify
from edgekd.backends.imx500.kit import MODEL, runner_options, write_kit
from edgekd.errors import Problem, ProblemsError
from edgekd.graph.model import Graph
from edgekd.schema.base import Strict
from edgekd.schema.target import Engine

KEPT = "persistent input"
PROBES = 2
"""Inputs that the dialect's own operators are run on; one takes a second or more."""


class Imx500Options(Strict):
    """Options of the engine."""

    persistent: bool = Field(
        True, description="Whether the sensor keeps the picture it saw, to be read back; costs its bytes and 4,096."
    )
    format: Literal["RGB", "BGR"] = Field("RGB", description="Order of the colours that the network takes.")
    tpc: Literal["1.0"] = Field("1.0", description="Target platform capabilities that the graph keeps to.")


class Imx500:
    """The sensor's network processor, through Sony's converter."""

    package = None
    Options = Imx500Options

    def check(self, graph: Graph, engine: Engine) -> list[Problem]:
        """Operators, opset, Sony's rules, and memory where every shape is static."""
        options = Imx500Options.model_validate(engine.options)
        problems = [*check_operators(graph, engine), *rules.check(graph, engine.arithmetic.placement)]
        return [*problems, *rules.check_format(graph, options.format), *memory.check(graph, options.persistent)]

    def compile(self, job: Job, options: Imx500Options, out: Path) -> Artifact:
        """Write the kit. Raises ProblemsError where the dialect's own operators give other codes."""
        model = dialect.write(job.graph)
        verdict = verify.check(model, job.inputs[:PROBES], verify.expected(job.graph, job.inputs[:PROBES]))
        if verdict.holds is False:
            raise ProblemsError([Problem(verdict.first, f"the dialect gives other codes: {verdict}")])
        write_kit(model, job, options, out)
        facts: dict[str, Any] = {
            "rules": f"nothing that target platform capabilities {options.tpc} lack",
            KEPT: options.persistent,
            "memory": memory.estimate(job.graph, options.persistent).told(),
            "operators": dict(Counter(node.op_type for node in model.graph.node).most_common()),
            "dialect": str(verdict),
        }
        return Artifact(
            backend="imx500",
            kind="kit",
            tool="edgekd, static check",
            model=MODEL,
            runner="imx",
            options=runner_options(model, options),
            observe="all",
            facts=facts,
        )

    def firmware(self, kit: Path, out: Path, request: FirmwareRequest) -> FirmwareRecord:
        """The folder that is handed on, converted where the converter is."""
        return firmware.make(kit, out, request, bool(read_artifact(kit).facts[KEPT]))

    def loadable(self, folder: Path) -> Path | None:
        """What the sensor, or the packager on its board, is given."""
        return firmware.loadable(folder)
