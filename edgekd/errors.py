"""What can go wrong for a person, with the exit code each kind ends in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a request: where, what, the next step; `missing` when it is only not here."""

    where: str
    message: str
    hint: str = ""
    missing: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class EdgekdError(Exception):
    """A mistake or a lack that is told in a sentence, never in a traceback."""

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class GateFailedError(EdgekdError):
    """A gate on accuracy, parity or budget did not hold."""

    exit_code = 1


class RequestError(EdgekdError):
    """The request itself is wrong."""


class ProblemsError(RequestError):
    """Several things are wrong with the request; all of them are told together, each once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__("; ".join(map(str, self.problems)))
        self.exit_code = MissingError.exit_code if all(p.missing for p in problems) else RequestError.exit_code


class MissingError(EdgekdError):
    """A toolchain, a device, a package or data is not here."""

    exit_code = 3


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint that offers the known name closest to `name`, or lists them all."""
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean `{close[0]}`?"
    return "known: " + ", ".join(f"`{k}`" for k in known)


def last_line(error: Exception) -> str:
    """What an error of another program says in the end; its kind where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def gather(problems: list[Problem], where: str, make: Callable[[], T]) -> T | None:
    """What `make` gives, or None with its problems added to the list."""
    try:
        return make()
    except ProblemsError as error:
        problems += error.problems
    except EdgekdError as error:
        problems.append(Problem(where, error.message, error.hint, isinstance(error, MissingError)))
    return None
