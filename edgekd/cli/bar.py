"""A bar with an estimate on a terminal's stderr; silence elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


class Bar:
    """Comes with the first tick, goes with `stop`."""

    def __init__(self, live: bool = True) -> None:
        self.live = live and sys.stderr.isatty()
        self._bar: Any = None
        self._task: Any = None

    def tick(self, done: int, total: int, text: str) -> None:
        """Show `done` of `total`, the time that is left, and a word."""
        if not self.live:
            return
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn("  "),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.description}"),
            )
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(text, total=total)
        self._bar.update(self._task, completed=done, total=total, description=text)

    def stop(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def sayer(quiet: bool) -> Callable[[str], None]:
    """Says on a terminal's stderr what a command is busy with; silence elsewhere."""
    live = sys.stderr.isatty() and not quiet
    return lambda text: print(f"· {text}", file=sys.stderr, flush=True) if live else None
