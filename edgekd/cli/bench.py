"""`edgekd bench`: what a run costs on this host."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NAME = "bench"


def main(
    run: Annotated[Path, typer.Argument(help="The folder that `edgekd compress` printed.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Count a bundle's costs, and measure latency where this host is its target. Needs no torch."""
    from edgekd.cli import console, summary
    from edgekd.devices.local import is_board
    from edgekd.devices.profile import profile
    from edgekd.evidence import Bundle

    bundle = Bundle(run)
    figures = profile(bundle)
    bundle.ledger.add(figures)
    if json:
        console.emit({"figures": [f.plain() for f in figures]})
        return
    summary.print_costs(bundle, figures)
    board = bundle.manifest.target.board
    if not is_board(board.reach):
        print(f"\nno latency: this host is not a {board.title}, and stand-ins compute its arithmetic, not its speed")
