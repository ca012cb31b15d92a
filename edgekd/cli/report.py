"""`edgekd report`: a run's report anew, or several runs in one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NAME = "report"


def main(
    runs: Annotated[list[Path], typer.Argument(help="Folders that `edgekd compress` printed.")],
    out: Annotated[
        Path | None, typer.Option(help="The page of several runs; `compare.html` beside the runs if none.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Write the report of a run anew, or compare several: scores, sizes and latencies, and the best for their cost.

    The page shows what the runs' ledgers hold; nothing is measured. Runs of different metrics get tables of their own.
    """
    from edgekd.cli import console
    from edgekd.errors import RequestError
    from edgekd.evidence import Bundle
    from edgekd.report.compare import write_comparison
    from edgekd.report.html import write_report

    bundles = list({bundle.run.resolve(): bundle for bundle in map(Bundle, runs)}.values())
    if len(bundles) == 1 and out is not None:
        raise RequestError("`--out` is for several runs", "the report of one lies in its folder")
    if len(bundles) == 1:
        path = write_report(bundles[0])
    else:
        path = write_comparison(bundles, out or bundles[0].run.resolve().parent / "compare.html")
    console.emit({"report": str(path)}) if json else print(path)
