"""`edgekd targets`: the boards that networks run on, and the photonic devices that give features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from edgekd.schema.photonic import Photonic

NAME = "targets"


def main(
    name: Annotated[str | None, typer.Argument(help="A target to show in full.")] = None,
    kind: Annotated[
        Literal["board", "photonic"] | None, typer.Option(help="One kind alone; JSON and fields: boards by default.")
    ] = None,
    fields: Annotated[bool, typer.Option("--fields", help="Explain every field of a descriptor.")] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """List targets, or show one field by field with its sources."""
    from edgekd.cli import console
    from edgekd.schema.targets import find_target, locate

    if fields:
        from edgekd.schema.describe import as_markdown
        from edgekd.schema.photonic import Photonic
        from edgekd.schema.target import Board

        print(as_markdown(Photonic if kind == "photonic" else Board))
        return
    if name is None:
        _list(kind, json)
        return
    if locate(name.partition(":")[0])[1].get("kind") == "photonic":
        from edgekd.schema.photonic import find_photonic

        _show(find_photonic(name), json)
        return
    target = find_target(name)
    if json:
        console.emit(target.board.model_dump(mode="json", by_alias=True))
        return
    a, engine, board = target.arithmetic, target.engine, target.board
    print(f"{target.name}: {board.title}, engine {target.engine_name} (validated: {engine.validated})")
    signed, grid = (
        ("int8" if a.activations.signed else "uint8"),
        ("symmetric" if a.activations.symmetric else "affine"),
    )
    print(f"activations  {signed}, {grid}, one {a.activations.scale} scale per tensor")
    weights = a.weights
    each = f"one {weights.scale} scale per {weights.per}"
    print(f"weights      int{weights.bits}, symmetric, {each}; biases on the {a.bias} grid")
    print(f"rounding     {a.rounding}")
    print(f"quantized    inputs of {', '.join(a.placement.quantize)}; output {a.placement.output}")
    print(f"fused        {', '.join('+'.join(chain) for chain in a.placement.fused)}")
    for stand_in in engine.stand_ins:
        print(f"stand-in     {stand_in.backend}: {stand_in.why}")
    print(f"memory       {board.cost.memory_bytes:,} bytes")
    print("sources")
    for field, source in board.sources.items():
        print(f"  {field}: {source}")


def _list(kind: str | None, json: bool) -> None:
    from edgekd.cli import console
    from edgekd.schema.photonic import find_photonic
    from edgekd.schema.targets import boards, load_board, photonics, read_descriptor

    if json:
        found = map(find_photonic, photonics()) if kind == "photonic" else map(load_board, boards().values())
        console.emit([each.model_dump(mode="json", by_alias=True) for each in found])
        return
    if kind != "photonic":
        rows = [
            [b["name"], ", ".join(b.get("aliases", ())), e, spec["arithmetic"]["name"], spec["validated"], b["title"]]
            for b in map(read_descriptor, boards().values())
            for e, spec in sorted(b["engines"].items(), key=lambda item: bool(item[0] != b["engine"]))
        ]
        console.table(["target", "alias", "engine", "arithmetic", "validated", "board"], rows)
    if kind != "board":
        print("\nNo boards, but sources of features for students:\n" if kind is None else "", end="")
        devices = [
            [d["name"], ", ".join(d.get("aliases", ())), d["source"], d["validated"], d["title"]]
            for d in map(read_descriptor, photonics().values())
        ]
        console.table(["photonic device", "alias", "source", "validated", "title"], devices)


def _show(device: Photonic, json: bool) -> None:
    from edgekd.cli import console
    from edgekd.photonic.sources.registry import names, opener

    opener(device.source)
    if json:
        console.emit(device.model_dump(mode="json", by_alias=True))
        return
    circuit, imperfect = device.circuit, device.imperfections
    print(f"{device.name}: {device.title} (validated: {device.validated}); a source of features, not a board")
    print(f"photons      {' '.join(map(str, circuit.photons))}")
    print(f"loops        {', '.join(map(str, circuit.loops))} bins; phases {'on' if circuit.phases else 'off'}")
    others = ", ".join(sorted(names().keys() - {device.source}))
    print(f"features     {device.shots} shots of `{device.source}`; behind a colon: {others}")
    print("imperfect    " + ("none" if device.ideal else ", ".join(f"{k} {v}" for k, v in imperfect.plain().items())))
    print(f"clock        {1e6 * device.shot_seconds:g} us a shot, {device.clock.setup_seconds:g} s to set up")
    print("sources")
    for field, source in device.sources.items():
        print(f"  {field}: {source}")
