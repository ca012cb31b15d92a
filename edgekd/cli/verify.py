"""`edgekd verify`: look again at every hop, score and gate of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NAME = "verify"


def main(
    run: Annotated[Path, typer.Argument(help="The folder that `edgekd compress` printed.")],
    every: Annotated[
        bool, typer.Option("--every-tensor", help="Look at all tensors, in large networks too (a compile each).")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Check a bundle's files, the parity of every conversion, the scores and the gates. Needs no torch.

    Ends with exit code 1 when a gate fails, and names the first tensor beyond its bound. The report is written anew.
    """
    from edgekd.cli import console, summary
    from edgekd.evidence import Bundle
    from edgekd.report.html import write_report
    from edgekd.verify.check import verify

    bundle = Bundle(run)
    found = verify(bundle, every=every)
    bundle.ledger.add(found.figures)
    if found.figures:
        write_report(bundle)
    if json:
        console.emit({
            "failures": [str(p) for p in found.failures],
            "skipped": [str(p) for p in found.skipped],
            "figures": [f.plain() for f in found.figures],
        })  # fmt: skip
    else:
        if found.figures:
            summary.print_scores(bundle, found.figures)
            print()
            summary.print_parity(found.figures)
            print()
            summary.print_worst(bundle, found.figures)
            print()
        summary.print_skipped(found.skipped)
        held = sum(gate.held for gate in found.gates)
        print(f"{held} of {len(found.gates)} gates held")
    console.tell(found.failures)
    if found.failures:
        raise typer.Exit(1)
