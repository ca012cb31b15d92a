"""Progress of a run on a terminal; silence elsewhere."""

from __future__ import annotations

import sys

from edgekd.cli.bar import Bar
from edgekd.pipeline import Reporter
from edgekd.plan import Plan


class TerminalReporter(Reporter):
    """Prints the plan; on a terminal, a line a step and a bar with an estimate where a step takes long."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.bar = Bar(live=not quiet)

    def plan(self, plan: Plan, cached: set[str]) -> None:
        """The resolved plan on stdout."""
        if self.quiet:
            return
        from edgekd.cli.console import table

        print(f"{plan.recipe.name} for {plan.target.board.title}: {plan.target.arithmetic.name}, run {plan.name}")
        state = {name: "in the store" if name in cached else "to do" for name in plan.steps}
        rows = [[step.name, step.key.hex[:8], state[step.name], ", ".join(step.needs)] for step in plan.steps.values()]
        table(["step", "key", "state", "builds on"], rows)
        for note in plan.notes:
            print(f"note: {note}; {note.hint}")
        print(flush=True)

    def step(self, name: str, cached: bool) -> None:
        """A step begins."""
        self.stop()
        if self.bar.live and not cached:
            print(f"· {name}", file=sys.stderr, flush=True)

    def tick(self, done: int, total: int, text: str) -> None:
        """A bar with the time that is left."""
        self.bar.tick(done, total, text)

    def say(self, text: str) -> None:
        """What a step is busy with."""
        if self.bar.live:
            print(f"    {text}", file=sys.stderr, flush=True)

    def stop(self) -> None:
        """Take the bar away."""
        self.bar.stop()
