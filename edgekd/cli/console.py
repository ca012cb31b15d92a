"""How the command line speaks: errors with hints on stderr, tables and JSON on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from edgekd.errors import EdgekdError, Problem, ProblemsError


def fail(error: Exception) -> int:
    """Tell what went wrong and give the exit code. Errors that are our own fault are raised again."""
    if isinstance(error, ProblemsError):
        tell(error.problems)
        return error.exit_code
    if isinstance(error, EdgekdError):
        tell([Problem("", error.message, error.hint)])
        return error.exit_code
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        name = context.command_path if context else "edgekd"
        message = error.format_message().rstrip(".")
        tell([Problem("", message[:1].lower() + message[1:], f"see `{name} --help`")])
        return 2
    if isinstance(error, (click.Abort, click.exceptions.Exit)):
        return getattr(error, "exit_code", 130)
    if isinstance(error, BrokenPipeError):
        sys.stderr.close()
        return 0
    if isinstance(error, OSError) and error.filename is not None:
        tell([Problem("", f"`{error.filename}`: {error.strerror}")])
        return 3
    raise error


def tell(problems: Sequence[Problem]) -> None:
    """Problems as `error:` and `hint:` lines on stderr."""
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
        if problem.hint:
            print(f"hint: {problem.hint}", file=sys.stderr)


def emit(value: Any) -> None:
    """JSON on stdout."""
    print(json.dumps(value, indent=1))


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
    """A plain table on stdout, columns as wide as they need; readable without colour."""
    cells = [list(headers), *[list(row) for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headers))]
    for row in cells:
        line = "  ".join(
            c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        print(line.rstrip())
