"""`edgekd targets`: the boards edgekd knows."""

from __future__ import annotations

from typing import Annotated

import typer

NAME = "targets"


def main(
    name: Annotated[str | None, typer.Argument(help="A target to show in full.")] = None,
    fields: Annotated[bool, typer.Option("--fields", help="Explain every field of a descriptor.")] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """List targets, or show one field by field with its sources."""
    if fields:
        from edgekd.schema.describe import as_markdown
        from edgekd.schema.target import Board

        print(as_markdown(Board))
        return
    from edgekd.cli import console
    from edgekd.schema.targets import boards, find_target, load_board, read_board

    if name is None:
        if json:
            console.emit([load_board(path).model_dump(mode="json", by_alias=True) for path in boards().values()])
            return
        rows = [
            [
                b["name"],
                ", ".join(b.get("aliases", ())),
                e,
                spec["arithmetic"]["name"],
                spec["validated"],
                b["title"],
            ]
            for b in map(read_board, boards().values())
            for e, spec in sorted(b["engines"].items(), key=lambda item: bool(item[0] != b["engine"]))
        ]
        console.table(["target", "alias", "engine", "arithmetic", "validated", "board"], rows)
        return
    target = find_target(name)
    if json:
        console.emit(target.board.model_dump(mode="json", by_alias=True))
        return
    a, engine, board = target.arithmetic, target.engine, target.board
    print(f"{target.name}: {board.title}, engine {target.engine_name} (validated: {engine.validated})")
    signed, kind = (
        ("int8" if a.activations.signed else "uint8"),
        ("symmetric" if a.activations.symmetric else "affine"),
    )
    print(f"activations  {signed}, {kind}, one {a.activations.scale} scale per tensor")
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
