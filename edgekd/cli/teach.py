"""`edgekd teach`: a teacher's answers, kept outside a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NAME = "teach"


def main(
    recipe: Annotated[str, typer.Argument(help="A student's name or a recipe's path, with a table `teacher`.")],
    out: Annotated[Path, typer.Option(help="The folder to fill; what is there already is kept.")],
    shard: Annotated[
        str, typer.Option(help="K/N: this is machine K, counted from 0, of N that fill the folder.")
    ] = "0/1",
    set_: Annotated[list[str], typer.Option("--set", help="KEY=VALUE laid on the recipe; may be repeated.")] = [],  # noqa: B006
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Ask the recipe's teacher about all training data, and keep the answers in a folder.

    `edgekd compress` asks by itself. This verb is for a teacher on another machine, or several: each fills its part of
    the folder, the same bytes as one would. `--set teacher.cache=FOLDER` then trains with it. Stopped, it goes on.
    """
    import time

    from edgekd.asking import teach
    from edgekd.cli import console
    from edgekd.cli.bar import Bar
    from edgekd.pipeline import named_recipe
    from edgekd.train.cache import present

    part, bar = parts(shard), Bar(live=not json)
    begun = time.monotonic()
    try:
        ask, new = teach(named_recipe(recipe, tuple(set_)), out, part, bar.tick)
    finally:
        bar.stop()
    seconds, (whole, size) = time.monotonic() - begun, present(out)
    found = {"folder": str(out), "answers": new, "answers_per_second": round(new / seconds, 2), "shards": whole,
             "of": ask.record.shards, "bytes": size}  # fmt: skip
    if json:
        console.emit(found)
        return
    print(f"{new:,} new answers" + (f", {new / seconds:,.1f} answers/s" if new else ""))
    print(f"{out}: {whole} of {ask.record.shards} shards, {size / 1e6:,.1f} MB")
    if whole == ask.record.shards:
        print(f"next: edgekd compress {recipe} --target TARGET --set teacher.cache={out}")


def parts(shard: str) -> tuple[int, int]:
    """`K/N` as numbers. Raises RequestError."""
    from edgekd.errors import RequestError

    first, _, count = shard.partition("/")
    if not (first.isdecimal() and count.isdecimal() and int(first) < int(count)):
        raise RequestError(
            f"`--shard {shard}` is not K/N with K below N", "for example `--shard 0/2` and `--shard 1/2`"
        )
    return int(first), int(count)
