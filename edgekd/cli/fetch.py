"""`edgekd fetch`: programs and files of others, the one verb that downloads."""

from __future__ import annotations

from typing import Annotated

import typer

NAME = "fetch"


def main(
    name: Annotated[list[str] | None, typer.Argument(help="What to fetch; nothing: list what there is.")] = None,
    accept: Annotated[
        bool, typer.Option("--accept-licence", help="You have read and accept a proprietary licence.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Download programs and files of others: pinned, checked by SHA-256, kept in a cache of their own.

    Everything else works offline, and names this verb when something is missing. The cache is `$EDGEKD_CACHE`, else
    `edgekd` in your cache folder.
    """
    from edgekd.cli import console
    from edgekd.cli.bar import Bar
    from edgekd.toolchains.cache import is_fetched, place
    from edgekd.toolchains.fetch import fetch
    from edgekd.toolchains.lock import find_lock, names

    locks = [find_lock(n) for n in name or names()]
    bar = Bar(live=not json)
    for lock in locks if name else ():
        if not json:
            print(f"{lock.name}: {lock.licence}; {lock.size / 1e6:.1f} MB", flush=True)
        try:
            folder = fetch(lock, accept, lambda done, total, what=lock.name: bar.tick(done, total, what))  # type: ignore[misc]
        finally:
            bar.stop()
        if not json:
            print(folder)
    if json:
        console.emit([
            {"name": lock.name, "about": lock.about, "licence": lock.licence, "proprietary": lock.proprietary,
             "size": lock.size, "folder": str(place(lock)) if is_fetched(lock) else None} for lock in locks
        ])  # fmt: skip
    elif not name:
        rows = [
            [lock.name, "yes" if is_fetched(lock) else "no", f"{lock.size / 1e6:.1f} MB", lock.licence, lock.about]
            for lock in locks
        ]
        console.table(["name", "fetched", "download", "licence", "what for"], rows, right=(2,))
