"""`edgekd run`: pictures, folders, videos and cameras through the shipped network."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from edgekd.apply.model import Model
    from edgekd.apply.run import Outcome
    from edgekd.errors import Problem
    from edgekd.schema.io import IoRecord

NAME = "run"
SHOWN = 5
"""Labels that are printed."""


def main(
    run: Annotated[Path, typer.Argument(help="The folder that `edgekd compress` printed, or a model file.")],
    what: Annotated[
        list[Path],
        typer.Argument(help="Pictures, folders, videos, `/dev/video0`; a picture each where there are several inputs."),
    ],
    out: Annotated[
        Path | None, typer.Option(help="A folder for the answers, or a file for one: a picture, a video, `.npz`.")
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y,W,H", help="A box to segment, in pixels of the picture; again for another object."),
    ] = None,
    masks: Annotated[bool, typer.Option("--masks", help="Write masks as numbers in a PNG, not drawn.")] = False,
    engine: Annotated[
        str, typer.Option(help="An engine of the bundle or `reference`, the integer reference; the first that runs.")
    ] = "",
    io: Annotated[Path | None, typer.Option(help="The io record of a model file that carries none, JSON.")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Take at most so many pictures of a video.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Run a network on pictures of any size that it takes. Needs no torch, unless a file of your own does.

    Answers that are pictures are written, to `out.png` or `out/` if you name nothing else; so are masks, drawn on their
    pictures. Classes and tensors are printed, several as CSV; with `--out` they are drawn, or written as `.npz`, too.
    A network whose prompt is a box is asked with `--box`. Ends with exit code 2 when one of several fails.
    """
    from edgekd.apply.boxes import prompted, read_boxes
    from edgekd.apply.model import opened_model
    from edgekd.cli import console

    boxes = read_boxes(box or [])
    with opened_model(run, engine, io) as opened:
        model = prompted(opened, boxes)
        for note in model.notes:
            print(f"note: {note}" + (f"; {note.hint}" if note.hint else ""), file=sys.stderr)
        found, failed = answer_all(model, what, out, frames, masks, quiet=json)
    if json:
        answers = [
            {"source": f.source, "wrote": f.wrote and str(f.wrote), "frames": f.frames, "seconds": f.seconds,
             "answers": f.answers} for f in found
        ]  # fmt: skip
        console.emit({"engine": model.engine, "answers": answers, "failures": [str(p) for p in failed]})
    console.tell(failed)
    if failed:
        raise typer.Exit(2)


def answer_all(
    model: Model, what: list[Path], out: Path | None, frames: int | None, masks: bool, quiet: bool
) -> tuple[list[Outcome], list[Problem]]:
    """Everything that is named, each answer printed as it comes; what came, and what failed."""
    from edgekd.apply.run import apply
    from edgekd.cli.bar import Bar
    from edgekd.errors import Problem

    bar, found, failed = Bar(live=not quiet), list["Outcome"](), list[Problem]()
    alone = (len(what) == 1 and not what[0].is_dir()) or len(model.io.inputs) > 1
    if not alone and not quiet:
        print_header(model.io)
    try:
        for outcome in apply(model, what, out, frames, bar.tick, masks):
            if isinstance(outcome, Problem):
                failed.append(outcome)
                continue
            found.append(outcome)
            if not quiet:
                tell(outcome, model.io, model.engine) if alone else print_row(outcome, model.io)
    finally:
        bar.stop()
    return found, failed


def tell(outcome: Outcome, io: IoRecord, engine: str) -> None:
    """The one answer: of a still what it says, of a movie how fast it went; and where it was written."""
    if outcome.frames > 1:
        print(f"{outcome.frames} pictures, {outcome.frames / outcome.seconds:.1f} a second by {engine}")
    elif outcome.found is not None and not is_restored(io):
        show(outcome, io)
    if outcome.wrote:
        print(f"wrote {outcome.wrote}")


def is_restored(io: IoRecord) -> bool:
    """Whether the answer is a picture alone."""
    return len(io.outputs) == 1 and io.outputs[0].decode == "image"


def show(outcome: Outcome, io: IoRecord) -> None:
    """Classes as the first labels with their values, masks by their area, everything else in a few words."""
    from edgekd.apply.boxes import Found
    from edgekd.graph.answers import by_output, is_ranking, ranked, tell, tell_output
    from edgekd.schema.io import ClassesOutput

    found = outcome.found
    if isinstance(found, list) and found and isinstance(found[0], Found):
        for entry in outcome.answers:
            print(f"box {numbers(entry['box'])}, region {numbers(entry['region'])}")
            for cells in rows_of(entry["answers"]):
                print("  " + "  ".join(cells))
        return
    parts = by_output(found, io)
    if parts is None:
        print(tell(found, io))
        return
    for spec in io.outputs:
        answer = parts[spec.name]
        if isinstance(spec, ClassesOutput) and is_ranking(answer, spec):
            for label, value in ranked(answer, spec)[:SHOWN]:
                print(f"{spec.name}  {value:7.4f}  {label}")
        else:
            print(f"{spec.name}  {tell_output(answer, spec)}")


def print_header(io: IoRecord) -> None:
    """The first line of the CSV; of pictures there is none."""
    if not is_restored(io):
        print("source,output,answer,value")


def print_row(outcome: Outcome, io: IoRecord) -> None:
    """One of several answers: CSV, an output a line, the likeliest label with its value; a picture by its file."""
    import csv

    if is_restored(io):
        print(f"wrote {outcome.wrote}")
        return
    rows = csv.writer(sys.stdout, lineterminator="\n")
    if outcome.found is None:
        rows.writerow([outcome.source, "", f"{outcome.frames} pictures in {outcome.wrote}", ""])
        return
    for cells in rows_of(outcome.answers):
        rows.writerow([outcome.source, *cells])


def rows_of(answers: Any) -> Iterator[tuple[str, str, str]]:
    """Output, answer, value: of labels the likeliest, of a mask its area and share; of boxes a line each."""
    if isinstance(answers, list):
        for found in answers:
            for name, answer, value in rows_of(found["answers"]):
                yield f"{name} in {numbers(found['box'])}", answer, value
        return
    for name, answer in (answers if isinstance(answers, dict) else {"": answers}).items():
        if isinstance(answer, dict) and answer.keys() == {"area", "share"}:
            yield name, f"{answer['area']} pixels", f"{answer['share']:.4f}"
        elif isinstance(answer, dict) and answer:
            label, value = next(iter(answer.items()))
            yield name, label, f"{value:.4f}"
        else:
            yield name, str(answer), ""


def numbers(values: list[float]) -> str:
    """A box as it is given."""
    return ",".join(f"{value:g}" for value in values)
