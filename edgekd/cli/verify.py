"""`edgekd verify`: look again at every hop, score and gate of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgekd.devices.base import Device

NAME = "verify"


def main(
    run: Annotated[Path, typer.Argument(help="The folder that `edgekd compress` printed, or a model file.")],
    every: Annotated[
        bool, typer.Option("--every-tensor", help="Look at all tensors, in large networks too (a compile each).")
    ] = False,
    device: Annotated[
        str | None, typer.Option(help="Check the target's engine there: `ssh://user@host[:port]`, or `local`.")
    ] = None,
    ssh_config: Annotated[Path | None, typer.Option(help="Configuration file for ssh.", exists=True)] = None,
    io: Annotated[Path | None, typer.Option(help="The io record of a model file that carries none, JSON.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Check a bundle's files, the parity of every conversion, the scores and the gates. Needs no torch.

    Ends with exit code 1 when a gate fails, and names the first tensor beyond its bound. The report is written anew.
    Of a Q/DQ ONNX or int8 `.tflite` file, every engine here is held against the integer reference on random inputs.
    """
    from edgekd.devices.open import open_device
    from edgekd.errors import RequestError
    from edgekd.verify.foreign import is_model

    if device and is_model(run):
        raise RequestError("a model file is verified here alone", "`edgekd bench` runs it on a device")
    if is_model(run):
        verify_model(run, io, every, json)
    else:
        verify_run(run, every, json, open_device(device, ssh_config) if device else None)


def verify_run(run: Path, every: bool, json: bool, device: Device | None) -> None:
    """A bundle."""
    from edgekd.cli import console, summary
    from edgekd.evidence import Bundle
    from edgekd.report.html import write_report
    from edgekd.verify.check import verify

    bundle = Bundle(run)
    found = verify(bundle, every=every, device=device)
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


def verify_model(path: Path, io: Path | None, every: bool, json: bool) -> None:
    """A model file."""
    from edgekd.cli import console, summary
    from edgekd.verify.foreign import PROBES, opened, verify_foreign

    with opened(path, io) as found:
        hops, gates = verify_foreign(found, every=every)
    failures = [gate.problem for gate in gates if not gate.held]
    if json:
        console.emit({
            "notes": [str(p) for p in found.notes],
            "failures": [str(p) for p in failures],
            "hops": {hop.name: {"equal": hop.equal, "largest": hop.largest, "tensors": hop.plain()} for hop in hops},
        })  # fmt: skip
    else:
        rows = [[hop.name, f"{hop.equal:.4%}", str(hop.largest), hop.first_beyond or "none"] for hop in hops]
        console.table(["hop", "equal codes", "largest", "first tensor beyond its bound"], rows, right=(1, 2))
        print(f"\n{PROBES} random inputs; {len(gates) - len(failures)} of {len(gates)} gates held")
        summary.print_notes(found.notes)
    console.tell(failures)
    if failures:
        raise typer.Exit(1)
