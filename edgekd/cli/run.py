"""`edgekd run`: pictures through the shipped network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from edgekd.schema.io import IoRecord

NAME = "run"
SHOWN = 5
"""Labels that are printed."""


def main(
    run: Annotated[Path, typer.Argument(help="The folder that `edgekd compress` printed.")],
    picture: Annotated[list[Path], typer.Argument(help="A picture of the network's input size; one for each input.")],
    out: Annotated[Path | None, typer.Option(help="Where the answer is written: a picture, else `.npz`.")] = None,
    engine: Annotated[
        str, typer.Option(help="An engine of the bundle, or `reference` for the integer reference.")
    ] = "reference",
) -> None:
    """Run a picture through a bundle's network. Needs no torch, unless a file of your own imports it.

    A picture is written, to `out.png` if you name no other file; classes and tensors are printed.
    """
    from edgekd.errors import RequestError, nearest
    from edgekd.evidence import Bundle
    from edgekd.graph.answers import is_picture
    from edgekd.verify.check import answer

    bundle = Bundle(run)
    engines = ["reference", *bundle.manifest.engines]
    if engine not in engines:
        raise RequestError(f"the bundle has no engine `{engine}`", nearest(engine, engines))
    found, io = answer(bundle, engine, picture)
    pictured = len(io.outputs) == 1 and io.outputs[0].decode == "image" and is_picture(found)
    if not pictured:
        show(found, io)
    if pictured or out is not None:
        write(found, out or Path("out.png"), pictured)


def show(found: Any, io: IoRecord) -> None:
    """Classes as the first labels with their values, everything else in a few words."""
    from edgekd.graph.answers import by_output, is_ranking, ranked, tell, tell_output
    from edgekd.schema.io import ClassesOutput

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


def write(found: Any, out: Path, pictured: bool) -> None:
    """A picture as such, other answers as `.npz`. Raises RequestError when the file cannot be written."""
    import numpy as np
    from PIL import Image

    from edgekd.errors import RequestError

    if not pictured and out.suffix != ".npz":
        raise RequestError(f"`{out}` cannot be written: the answer is no picture", "name a file like `out.npz`")
    try:
        if pictured:
            Image.fromarray(found).save(out)
        else:
            np.savez(out, **(found if isinstance(found, dict) else {"answer": found}))
    except (OSError, ValueError) as error:
        raise RequestError(
            f"`{out}` cannot be written: {error}", f"name a file like `out{'.png' * pictured}`"
        ) from None
    print(f"wrote {out}")
