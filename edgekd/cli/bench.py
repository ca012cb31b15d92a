"""`edgekd bench`: what a run costs, and what it answers, on this host or on real devices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

NAME = "bench"


def main(
    run: Annotated[Path, typer.Argument(help="The folder that `edgekd compress` printed.")],
    device: Annotated[
        list[str] | None,
        typer.Option(help="`local`, or `ssh://user@host[:port]`; several times for several devices."),
    ] = None,
    engine: Annotated[list[str] | None, typer.Option(help="Only this engine of the run.")] = None,
    runs: Annotated[int | None, typer.Option(min=10, help="Timed runs; the recipe's by default.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="End after these, however many runs.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the engine.")] = None,
    ssh_config: Annotated[Path | None, typer.Option(help="Configuration file for ssh.", exists=True)] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Measure a run where it is meant to run: latency and memory beside FP32, its score and its parity.

    A device needs Python 3.8, numpy and the engine's runtime; nothing is installed there and nothing stays. Figures go
    to the run's ledger, and the report is written anew. Ends with exit code 1 when a device's answers fail a gate.
    Needs no torch.
    """
    from dataclasses import replace

    from edgekd.cli import console, summary
    from edgekd.devices.bench import bench, engines_of
    from edgekd.devices.costs import costs
    from edgekd.devices.open import open_device
    from edgekd.devices.profile import timing
    from edgekd.evidence import Bundle
    from edgekd.report.html import write_report

    bundle = Bundle(run)
    engines, recipe = engines_of(bundle, engine or ()), bundle.manifest.recipe
    devices = [open_device(address, ssh_config) for address in device or ["local"]]
    given: dict[str, Any] = {"runs": runs, "seconds": seconds, "threads": threads}
    how = replace(timing(bundle), **{key: value for key, value in given.items() if value is not None})
    counted = [f for arm in (recipe.teacher, recipe.ship) for f in costs(bundle, arm)]
    found = [bench(bundle, each, how, engines) for each in devices]
    figures = counted + [f for each in found for f in each.figures]
    failures = [gate.problem for each in found for gate in each.gates if not gate.held]
    bundle.ledger.add(figures)
    write_report(bundle)
    if json:
        notes = [str(note) for each in found for note in each.notes]
        console.emit({
            "figures": [f.plain() for f in figures], "notes": notes, "failures": [str(p) for p in failures],
        })  # fmt: skip
    else:
        summary.print_costs(bundle, counted)
        for each in found:
            summary.print_device(bundle, each)
    console.tell(failures)
    if failures:
        raise typer.Exit(1)
