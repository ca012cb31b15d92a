"""`edgekd run`: a picture through the shipped network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NAME = "run"


def main(
    run: Annotated[Path, typer.Argument(help="The folder that `edgekd compress` printed.")],
    picture: Annotated[Path, typer.Argument(help="A picture of the network's input size.")],
    out: Annotated[Path, typer.Option(help="Where the answer is written.")] = Path("out.png"),
    engine: Annotated[
        str, typer.Option(help="An engine of the bundle, or `reference` for the integer reference.")
    ] = "reference",
) -> None:
    """Run one picture through a bundle's network. Needs no torch."""
    from PIL import Image

    from edgekd.errors import RequestError, nearest
    from edgekd.evidence import Bundle
    from edgekd.graph.images import read_picture
    from edgekd.verify.check import answer

    bundle = Bundle(run)
    engines = ["reference", *bundle.manifest.engines]
    if engine not in engines:
        raise RequestError(f"the bundle has no engine `{engine}`", nearest(engine, engines))
    restored = Image.fromarray(answer(bundle, engine, read_picture(picture)))
    try:
        restored.save(out)
    except (OSError, ValueError) as error:
        raise RequestError(f"`{out}` cannot be written: {error}", "name a file like `out.png`") from None
    print(f"wrote {out}")
