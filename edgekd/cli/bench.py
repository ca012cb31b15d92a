"""`edgekd bench`: what a run costs, and what it answers, on this host or on real devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from edgekd.devices.base import Device, Timing
    from edgekd.devices.bench import Benched
    from edgekd.errors import Problem
    from edgekd.evidence import Bundle

NAME = "bench"
Asked = tuple[int | None, float | None, int | None]
"""Runs, seconds and threads, where a person names them."""


def main(
    run: Annotated[Path, typer.Argument(help="The folder that `edgekd compress` printed, or a model file.")],
    device: Annotated[
        list[str] | None,
        typer.Option(help="`local`, or `ssh://user@host[:port]`; several times for several devices."),
    ] = None,
    engine: Annotated[list[str] | None, typer.Option(help="Only this engine of the run.")] = None,
    runs: Annotated[int | None, typer.Option(min=10, help="Timed runs; the recipe's by default.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="End after these, however many runs.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the engine.")] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Score only the first of the evaluation set.")] = None,
    power: Annotated[bool, typer.Option(help="Take a minute a model for its energy, where there are sensors.")] = True,
    ssh_config: Annotated[Path | None, typer.Option(help="Configuration file for ssh.", exists=True)] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Measure a run where it is meant to run: latency, memory and energy beside FP32; its score and parity there.

    A device needs Python 3.8, numpy and the engine's runtime; nothing is installed there, and only a lock file and
    trtexec's timing cache stay. Figures go to the run's ledger, and the report is written anew. Ends with exit code 1
    when a device's answers fail a gate.
    Needs no torch. A Q/DQ ONNX or `.tflite` file is timed in each engine here, beside the same net in float.
    """
    from edgekd.devices.open import open_device
    from edgekd.errors import RequestError
    from edgekd.verify.foreign import is_model

    devices = [open_device(address, ssh_config) for address in device or ["local"]]
    if is_model(run) and samples:
        raise RequestError("a model file has no evaluation set", "leave out `--samples`")
    if is_model(run):
        bench_model(run, devices, engine or [], (runs, seconds, threads), power, json)
    else:
        bench_run(run, devices, engine or [], (runs, seconds, threads), samples, power, json)


def bench_model(
    path: Path, devices: Sequence[Device], engines: Sequence[str], how: Asked, power: bool, json: bool
) -> None:
    """A model file on each device."""
    from edgekd.cli import console, summary
    from edgekd.cli.bar import sayer
    from edgekd.devices.files import bench_file, defaults
    from edgekd.verify.foreign import opened

    with opened(path) as model:
        found = [bench_file(model, each, defaults(*how), engines, power, sayer(quiet=json)) for each in devices]
    if json:
        console.emit({
            "figures": [f.plain() for each in found for f in each.figures],
            "notes": [str(note) for note in [*model.notes, *(n for each in found for n in each.notes)]],
        })  # fmt: skip
        return
    for each in found:
        summary.print_device(each, {})
    summary.print_notes(model.notes)
    print("\nrandom inputs; speed does not depend on them")


def bench_run(
    run: Path, devices: Sequence[Device], engines: Sequence[str], asked: Asked, samples: int | None, power: bool,
    json: bool,
) -> None:  # fmt: skip
    """A run on each device."""
    from dataclasses import replace

    from edgekd.cli import console, summary
    from edgekd.cli.bar import sayer
    from edgekd.devices.bench import engines_of
    from edgekd.devices.costs import costs
    from edgekd.devices.profile import timing
    from edgekd.errors import ProblemsError
    from edgekd.evidence import Bundle
    from edgekd.report.html import write_report

    bundle = Bundle(run)
    chosen = [(each, engines_of(bundle, engines, each)) for each in devices]
    given: dict[str, Any] = dict(zip(("runs", "seconds", "threads"), asked, strict=True))
    how = replace(timing(bundle), **{key: value for key, value in given.items() if value is not None})
    counted = [f for arm in (bundle.manifest.recipe.reference, bundle.manifest.recipe.ship) for f in costs(bundle, arm)]
    bundle.ledger.add(counted)
    found, missing = bench_each(bundle, chosen, how, samples, power, sayer(quiet=json))
    write_report(bundle)
    failures = [gate.problem for each in found for gate in each.gates if not gate.held]
    if json:
        console.emit({
            "figures": [f.plain() for f in [*counted, *(f for each in found for f in each.figures)]],
            "notes": [str(note) for each in found for note in each.notes],
            "failures": [str(p) for p in failures],
        })  # fmt: skip
    else:
        summary.print_costs(bundle, counted)
        for each in found:
            summary.print_device(each, {name: arm.title for name, arm in bundle.manifest.arms.items()})
    if missing and not failures:
        raise ProblemsError(missing)
    console.tell([*failures, *missing])
    if failures:
        raise typer.Exit(1)


def bench_each(
    bundle: Bundle, chosen: Sequence[tuple[Device, list[str]]], how: Timing, samples: int | None, power: bool,
    say: Callable[[str], None],
) -> tuple[list[Benched], list[Problem]]:  # fmt: skip
    """Devices one after the other, each into the ledger as soon as it is done; and what kept others from it."""
    from edgekd.devices.bench import bench
    from edgekd.errors import MissingError, Problem

    found, missing = [], []
    for device, engines in chosen:
        try:
            found.append(bench(bundle, device, how, engines, samples, power, say))
        except MissingError as error:
            missing.append(Problem("", error.message, error.hint, missing=True))
        else:
            bundle.ledger.add(found[-1].figures)
            missing += found[-1].missing
    return found, missing
