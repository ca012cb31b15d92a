"""`edgekd compress`: the whole run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NAME = "compress"


def main(
    target: Annotated[str, typer.Option(help="A board, `board:engine` or a descriptor's path; see `edgekd targets`.")],
    recipe: Annotated[str | None, typer.Argument(help="A student's name or a recipe's path; `qdr` if none.")] = None,
    student: Annotated[str | None, typer.Option(help="The same as the argument.")] = None,
    set_: Annotated[list[str], typer.Option("--set", help="KEY=VALUE laid on the recipe; may be repeated.")] = [],  # noqa: B006
    out: Annotated[Path, typer.Option(help="Folder for runs and for the store of finished steps.")] = Path("runs"),
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Distil, quantize, export, compile, verify and profile: from teacher to artifact and report.

    Steps that were finished before are re-used; an interrupted run goes on where it stopped.
    """
    from edgekd.cli import console, summary
    from edgekd.cli.progress import TerminalReporter
    from edgekd.errors import RequestError
    from edgekd.pipeline import resolve, run

    if recipe and student:
        raise RequestError(f"both `{recipe}` and `--student {student}` are given", "leave one of them out")
    found, board = resolve(recipe or student or "qdr", target, tuple(set_))
    if set_ and not json:
        print("overrides: " + ", ".join(set_))
    reporter = TerminalReporter(quiet=json)
    try:
        result = run(found, board, out, reporter)
    finally:
        reporter.stop()
    failures = result.verification.failures
    if json:
        console.emit({
            "run": str(result.folder),
            "report": str(result.report),
            "failures": [str(p) for p in failures],
            "skipped": [str(p) for p in result.notes],
            "figures": [f.plain() for f in result.figures],
        })  # fmt: skip
    else:
        summary.print_scores(result.bundle, result.figures)
        print()
        summary.print_parity(result.figures)
        print()
        summary.print_worst(result.bundle, result.figures)
        print()
        summary.print_costs(result.bundle, result.figures)
        print()
        summary.print_skipped(result.notes)
        for name, record in result.bundle.manifest.engines.items():
            print(f"{record.role}: {result.folder}/bundle/artifacts/{name}")
        print(f"report: {result.report}")
    console.tell(failures)
    if failures:
        raise typer.Exit(1)
