"""From a kit to the sensor: the converter is called, and what it and the packager made is held against the network."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgekd.backends.base import FirmwareRecord, FirmwareRequest, read_artifact
from edgekd.backends.imx500 import converter, memory_report, packer, params
from edgekd.backends.imx500.kit import CONVERTED, INTRINSICS, MODEL, TOLD, the_input
from edgekd.backends.imx500.network_info import NetworkInfo
from edgekd.backends.imx500.rpk import Rpk, read_rpk
from edgekd.backends.imx500.tensors import Tensor, outputs_of
from edgekd.errors import GateFailedError, Problem, ProblemsError, RequestError
from edgekd.graph.model import read_model
from edgekd.store import write_atomic

RPK = "network.rpk"
ROUNDED = 0.006 * 2**20
"""Bytes by which a size with two decimals of a MiB may be off."""
LICENCE = "Sony's converter is under its own licence, which is between you and Sony; edgekd only calls it"
CONVERT = "convert with Sony's imxconv-pt: `edgekd firmware RUN --converter PATH`, or `sh convert.sh` in the folder"
PACKAGE = "package on the Raspberry Pi: copy the folder there, `sh package.sh`"
ANNOTATE = "check and annotate what it made: `edgekd firmware RUN --rpk network.rpk`"
RUN = "run on the Raspberry Pi: `python3 run.py --json`, `python3 inject.py`; or `edgekd bench RUN --device ssh://…`"


def make(kit: Path, out: Path, request: FirmwareRequest, persistent: bool) -> FirmwareRecord:
    """Fill `out`, a copy of the kit, by what the person gave, and tell what it then is.

    What lies there already, made by hand or by an earlier call, is checked like what is new. Raises MissingError,
    RequestError or ProblemsError for files that are not the network's, GateFailedError for a network that does not fit
    in the chip.
    """
    program = converter.find(request.converter)
    facts, notes, tool = _estimated(kit), list[str](), ""
    if program is not None:
        notes, tool = _convert(program, out, request, persistent)
    if (out / CONVERTED).exists():
        facts |= check_converted(out / CONVERTED, out / MODEL, out / converter.LOG)
    packaged = request.packaged or (out / RPK if (out / RPK).exists() else None)
    if packaged is not None:
        firmware = checked_rpk(packaged, out)
        write_atomic(out / RPK, firmware.with_intrinsics(_read(out / INTRINSICS)).write())
        facts |= {"rpk": "size, order of colours, codes and outputs are the network's"}
    kind, todo = _state(loadable(out))
    return FirmwareRecord(kind=kind, tool=tool, facts=facts, notes=tuple(notes), next=todo)


def loadable(folder: Path) -> Path | None:
    """The packaged file, else what the converter made; None where neither is here."""
    places = (folder / RPK, folder / CONVERTED / packer.FILE)
    return next((path for path in places if path.is_file()), None)


def _estimated(kit: Path) -> dict[str, Any]:
    """What edgekd had estimated, under the converter's names, to be read beside its exact bytes."""
    told = read_artifact(kit).facts["memory"]
    names = {"runtime": "activations", "coefficients": "coefficients"}
    sizes = {name: "{:,} to {:,}".format(*told[ours]) for name, ours in names.items()}
    return {"estimate": {"all": told["estimate"], **sizes}}


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _state(here: Path | None) -> tuple[Any, tuple[str, ...]]:
    if here is None:
        return "kit", (CONVERT, PACKAGE, ANNOTATE, RUN)
    if here.suffix == ".zip":
        return "converted", (PACKAGE, ANNOTATE, RUN)
    return "firmware", (RUN,)


def _convert(program: Path, out: Path, request: FirmwareRequest, persistent: bool) -> tuple[list[str], str]:
    """Have it converted in a folder of its own, which takes its place when all is checked; notes, and the tool."""
    request.say(LICENCE)
    notes = [note for note in (converter.memory_note(),) if note]
    tool = f"{program.name}, {converter.version(program)}"
    with TemporaryDirectory(dir=out, prefix=".converting-") as folder:
        made = Path(folder) / CONVERTED
        made.mkdir()
        log = out / converter.LOG
        converter.convert(program, out / MODEL, made, log, persistent, request.timeout, request.say)
        check_converted(made, out / MODEL, log)
        shutil.rmtree(out / CONVERTED, ignore_errors=True)
        made.rename(out / CONVERTED)
    return notes, tool


def check_converted(made: Path, model: Path, log: Path) -> dict[str, Any]:
    """Facts of the converter's files. Raises GateFailedError where they do not fit, ProblemsError where they differ."""
    report, found, version = converter.read_outputs(made, model.stem, log)
    if not report.fits:
        used = f"{report.runtime + report.model:,.0f} of {report.total:,.0f} bytes"
        raise GateFailedError(f"the network does not fit in the chip: {used}", "make it smaller, or its input")
    graph = read_model(model)
    if problems := params.compare(found, [the_input(graph)], outputs_of(graph)):
        raise ProblemsError(problems)
    if problems := list(_disagree(report, found)):
        raise ProblemsError(problems)
    return {"memory": found.memory, "persistent input": report.persistent, "converter": version,
            "files": sorted(path.name for path in made.iterdir())}  # fmt: skip


def _disagree(report: memory_report.MemoryReport, found: params.Params) -> Iterator[Problem]:
    """Where the report's rounded sizes are not the exact ones."""
    pairs = {"runtime": report.runtime, "coefficients": report.model, "total": report.total}
    for name, rounded in pairs.items():
        exact = found.memory.get(name)
        if exact is not None and abs(exact - rounded) > ROUNDED:
            yield Problem(name, f"the memory report has {rounded:,.0f} bytes, `{params.FILE}` {exact:,}")


def checked_rpk(path: Path, kit: Path) -> Rpk:
    """A packaged file that is of the kit's network. Raises MissingError, RequestError, ProblemsError."""
    found, graph = read_rpk(path), read_model(kit / MODEL)
    order = _read(kit / TOLD)["format"]
    if found.locked:
        raise RequestError(f"`{path}` is locked to one device", "package it without a lock")
    if problems := list(_differences(found.info, the_input(graph), outputs_of(graph), order)):
        raise ProblemsError(problems)
    return found


def _differences(info: NetworkInfo, given: Tensor, outputs: Sequence[Tensor], order: str) -> Iterator[Problem]:
    _, height, width = given.dims
    offset = -128.0 if given.signed else 0.0
    pairs: list[tuple[str, object, object]] = [
        ("size", (info.width, info.height), (width, height)),
        ("order of colours", info.format, order),
        ("signed codes", info.signed, given.signed),
        ("gains", info.gains, (1.0, 1.0, 1.0)),
        ("offsets", info.offsets, (offset,) * 3),
        ("outputs", [o.elements for o in info.outputs], [t.elements for t in outputs]),
        ("bytes of a code", [o.bytes_each for o in info.outputs], [t.bits // 8 for t in outputs]),
        ("padding", [o.padding for o in info.outputs], [0] * len(info.outputs)),
    ]
    for name, got, want in pairs:
        if got != want:
            yield Problem(RPK, f"its {name}: {got}, the network's: {want}", "package this network, with `-f`")
