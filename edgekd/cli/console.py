"""How the command line speaks: errors with hints on stderr, tables and JSON on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import typer

from edgekd.errors import EdgekdError, Problem, ProblemsError


def fail(error: Exception) -> int:
    """Tell what went wrong and give the exit code. Errors that are our own fault are raised again."""
    if isinstance(error, ProblemsError):
        tell(error.problems)
        return error.exit_code
    if isinstance(error, EdgekdError):
        tell([Problem("", error.message, error.hint)])
        return error.exit_code
    if isinstance(error, typer.Abort):
        return interrupted()
    if format_message := getattr(error, "format_message", None):  # the parser's own errors
        context = getattr(error, "ctx", None)
        name = context.command_path if context else "edgekd"
        message = format_message().rstrip(".")
        tell([Problem("", message[:1].lower() + message[1:], f"see `{name} --help`")])
        return 2
    if isinstance(error, BrokenPipeError):
        sys.stderr.close()
        return 0
    if isinstance(error, OSError) and error.filename is not None:
        tell([Problem("", f"`{error.filename}`: {error.strerror}")])
        return 3
    from edgekd.students.own import blame

    if told := blame(error):
        return fail(told)
    raise error


def interrupted() -> int:
    """Say that Ctrl-C was heard."""
    tell([Problem("", "interrupted", "run the same command again: finished steps are kept")])
    return 130


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
