"""`edgekd firmware`: the folder that a sensor or a microcontroller is flashed from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgekd.backends.base import FirmwareRecord, FirmwareRequest
    from edgekd.evidence import Bundle

NAME = "firmware"
RECORD = "firmware.json"


def main(
    run: Annotated[Path, typer.Argument(help="The folder that `edgekd compress` printed.")],
    target: Annotated[str | None, typer.Option(help="The target; the run's by default.")] = None,
    converter: Annotated[
        Path | None, typer.Option(help="The vendor's converter, which you bring; `imxconv-pt` for the IMX500.")
    ] = None,
    rpk: Annotated[
        Path | None, typer.Option(help="What `imx500-package` made on the device: checked, and given its intrinsics.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write; `firmware` beside the bundle by default.")] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that the converter may take.")] = 3600.0,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Write the folder that is handed on: the network in the device's form, exact commands, probes, scripts, hashes.

    With a converter, or `EDGEKD_IMX500_CONVERTER` in the environment, it is converted too, and what comes out is held
    against the network. Without one the folder is a kit, which is a normal result. Needs no torch.
    """
    from edgekd.backends.base import FIRMWARE, FirmwareRequest
    from edgekd.cli import console
    from edgekd.cli.bar import sayer
    from edgekd.evidence import Bundle

    bundle = Bundle(run)
    name = engine_of(bundle, target)
    check_kit(bundle, name)
    folder = out or bundle.run / FIRMWARE
    check_outside(folder, bundle.path)
    request = FirmwareRequest(converter, rpk, timeout, sayer(quiet=json))
    record = write(bundle.path / "artifacts" / name, folder, request)
    if json:
        console.emit({"folder": str(folder), **record.plain()})
    else:
        show(run, folder, record)


def engine_of(bundle: Bundle, target: str | None) -> str:
    """The run's engine that makes firmware. Raises RequestError where the run is for another target, or has none."""
    from edgekd.backends.base import Firmware, read_artifact
    from edgekd.backends.registry import backend
    from edgekd.errors import RequestError
    from edgekd.schema.targets import find_target

    mine = bundle.manifest.target
    if target is not None and find_target(target).name != mine.name:
        hint = f"`edgekd compress --target {target}` makes a run for it"
        raise RequestError(f"the run is for `{mine.name}`, not for `{target}`", hint)
    for name, engine in bundle.manifest.engines.items():
        artifact = read_artifact(bundle.path / "artifacts" / name)
        if engine.role == "target" and isinstance(backend(artifact.backend), Firmware):
            return name
    hint = "`edgekd run`, `verify` and `bench` take its artifacts as they are; `--target imx500` makes firmware"
    raise RequestError(f"`{mine.name}` takes no firmware", hint)


def check_kit(bundle: Bundle, name: str) -> None:
    """Raises RequestError where a file of the kit is not what the manifest says."""
    from edgekd.errors import RequestError

    changed = [file for file in bundle.changed() if file.startswith(f"artifacts/{name}/")]
    if changed:
        raise RequestError(f"`{changed[0]}` is changed or gone", "make the run again, or restore that file")


def write(kit: Path, folder: Path, request: FirmwareRequest) -> FirmwareRecord:
    """A copy of the kit, filled up by its backend; what was made of the same kit there already stays."""
    from json import dumps

    from edgekd.backends.base import Firmware, read_artifact, write_sums
    from edgekd.backends.registry import backend

    artifact = read_artifact(kit)
    maker = backend(artifact.backend)
    assert isinstance(maker, Firmware)
    check_folder(folder, kit / artifact.model)
    shutil.copytree(kit, folder, dirs_exist_ok=True)
    made = maker.firmware(kit, folder, request)
    record = made.model_copy(update={"tool": made.tool or record_of(folder).tool})
    (folder / RECORD).write_text(dumps(record.plain(), indent=1), encoding="utf-8")
    write_sums(folder)
    return record


def record_of(folder: Path) -> FirmwareRecord:
    """What an earlier call found in a folder."""
    from edgekd.backends.base import FirmwareRecord

    try:
        return FirmwareRecord.model_validate_json((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return FirmwareRecord(kind="kit")


def check_outside(folder: Path, bundle: Path) -> None:
    """Raises RequestError for a folder in the bundle, which stays as it was written."""
    from edgekd.errors import RequestError

    if folder.resolve().is_relative_to(bundle.resolve()):
        raise RequestError(f"`{folder}` lies in the bundle, which is never changed", "name another: `--out FOLDER`")


def check_folder(folder: Path, model: Path) -> None:
    """Raises RequestError for a folder that holds anything but this network's firmware."""
    from edgekd.errors import RequestError
    from edgekd.resources import sha256

    mine = folder / model.name
    if folder.is_file():
        raise RequestError(f"`{folder}` is a file", "name a folder: `--out FOLDER`")
    if folder.is_dir() and any(folder.iterdir()) and not (mine.is_file() and sha256(mine) == sha256(model)):
        raise RequestError(
            f"`{folder}` holds something else than this network's firmware", "name another: `--out FOLDER`"
        )


def show(run: Path, folder: Path, record: FirmwareRecord) -> None:
    """What it is, what was found, what to do next."""
    from shlex import quote

    titles = {
        "kit": "a kit: all but what the vendor's converter makes",
        "converted": "converted: all but what is packaged on the device",
        "firmware": "firmware, packaged and checked",
    }
    print(f"{folder}  {titles[record.kind]}")
    if record.tool:
        print(f"tool     {record.tool}")
    for key, value in record.facts.items():
        print(f"{key:<8} {tell(value)}")
    for note in record.notes:
        print(f"note: {note}")
    for number, step in enumerate(record.next, 1):
        print(f"next {number}: {step.replace('RUN', quote(str(run)))}")


def tell(value: object) -> str:
    """A fact in a line."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {each:,}" if isinstance(each, int) else f"{key} {each}" for key, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def show_rpk(path: Path, json: bool) -> None:
    """`edgekd inspect FILE.rpk`: blocks, what the network takes and gives, what programs are told of it."""
    from dataclasses import asdict

    from edgekd.backends.imx500.rpk import read_rpk
    from edgekd.cli import console

    found = read_rpk(path)
    if json:
        blocks = [asdict(block) for block in found.blocks]
        members = {member.name: len(member.data) for member in found.members}
        told = {"info": asdict(found.info), "intrinsics": found.intrinsics}
        console.emit({"bytes": len(found.write()), "blocks": blocks, "members": members, **told})
        return
    info, sizes = found.info, [block.size for block in found.blocks]
    print(
        f"firmware {len(sizes)} blocks, {sum(sizes):,} bytes, {'locked to a device' if found.locked else 'not locked'}"
    )
    code = ", ".join(f"{gain:g} * pixel {offset:+g}" for gain, offset in zip(info.gains, info.offsets, strict=True))
    print(
        f"input    {info.width} x {info.height} {info.format}, {'signed' if info.signed else 'unsigned'} codes: {code}"
    )
    print(f"holds    {', '.join(f'{m.name} ({len(m.data):,} bytes)' for m in found.members)}")
    print(f"told     {tell(found.intrinsics) if found.intrinsics else 'no intrinsics'}\n")
    rows = [[str(i), f"{o.elements:,}", str(o.bytes_each), str(o.padding)] for i, o in enumerate(info.outputs)]
    console.table(["output", "elements", "bytes each", "padding"], rows, right=(1, 2, 3))
