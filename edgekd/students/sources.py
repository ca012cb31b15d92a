"""Sources of teachers outside, `KIND` or `KIND:PLACE`: where they lie, what of their files counts, what they need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from edgekd.errors import MissingError, RequestError, nearest
from edgekd.graph.images import find_data
from edgekd.resources import sha256
from edgekd.store import installed

Opens = TypeVar("Opens")


@dataclass(frozen=True)
class Kind(Generic[Opens]):
    """A kind of source; it is opened with the place that follows its name."""

    open: Opens
    place: str = ""
    """What that place is; none: the kind has no place of its own."""
    hint: str = ""
    """How to come by one."""
    counts: tuple[str, ...] = ()
    """Patterns of the files that count in a folder."""
    find: Callable[[str], Path] = find_data
    packages: Mapping[str, str] = field(default_factory=dict)
    """Distributions that it needs, and how each is installed."""


def found(source: str, kinds: Mapping[str, Kind[Opens]]) -> tuple[Kind[Opens], Path]:
    """A source's kind, and where it lies.

    Raises MissingError where it, or a package, is not here, RequestError for a source that is none.
    """
    name, _, place = source.partition(":")
    kind = kinds.get(name)
    if kind is None:
        raise RequestError(f"no teacher is called `{source}`", nearest(name, list(kinds)))
    if bool(place) != bool(kind.place):
        form = f"{name}:{kind.place}" if kind.place else name
        raise RequestError(f"the teacher `{source}` {'names no place' if kind.place else 'has no place'}", f"`{form}`")
    path = kind.find(place)
    if not path.exists():
        raise MissingError(f"the teacher's `{path}` does not exist", kind.hint)
    for package, command in kind.packages.items():
        if installed(package) == "absent":
            raise MissingError(f"the teacher `{name}` needs `{package}`", command)
    return kind, path


def digests_of(source: str, kinds: Mapping[str, Kind[Opens]]) -> dict[str, str]:
    """SHA-256 of each file that the answers depend on, by name. Raises as `found` does."""
    kind, path = found(source, kinds)
    files = {p for pattern in kind.counts for p in path.glob(pattern)} if path.is_dir() else _beside(path)
    return {p.name: sha256(p) for p in sorted(files) if p.is_file()}


def _beside(path: Path) -> set[Path]:
    """A file and those that belong to it by their name: settings, external data."""
    return {p for p in path.parent.iterdir() if p.name.startswith(f"{path.stem}.")}
