"""Locks: what `edgekd fetch` may fetch. Each is a file of `locks/`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from edgekd.errors import RequestError, nearest
from edgekd.schema.base import Strict
from edgekd.schema.load import parse, read_toml

Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
FOLDER = Path(__file__).parent / "locks"


class Requirement(Strict):
    """A package of an environment."""

    name: str
    version: str
    sha256: tuple[Sha256, ...] = Field(min_length=1, description="Of every wheel that may be taken.")

    def line(self) -> str:
        """As pip's requirements file has it."""
        return " ".join([f"{self.name}=={self.version}", *(f"--hash=sha256:{digest}" for digest in self.sha256)])


class Source(Strict):
    """One archive of a package."""

    registry: Literal["pypi", "npm"]
    package: str
    version: str
    sha256: Sha256
    python: str = Field("", description="Of a wheel that is not for any: the Python it is for, for example `3.11`.")
    platform: str = Field("", description="And its platform tag.")

    @model_validator(mode="after")
    def _both_or_none(self) -> Source:
        if bool(self.python) != bool(self.platform):
            raise ValueError("`python` and `platform` go together")
        return self


class Member(Strict):
    """A file that is taken out of an archive."""

    path: str = Field(description="Where it lies in the archive.")
    sha256: Sha256


class _Lock(Strict):
    schema_version: Literal[1] = Field(1, alias="schema")
    name: str = Field(pattern="^[a-z0-9-]+$")
    about: str = Field(description="What it is for.")
    licence: str
    terms: str = Field("", description="Where the licence can be read, of a proprietary one.")
    proprietary: bool = Field(False, description="Whether its licence must be accepted by name.")
    size: int = Field(description="Bytes that are downloaded, about.")


class Environment(_Lock):
    """Packages in a Python environment of their own."""

    kind: Literal["environment"]
    requirements: tuple[Requirement, ...] = Field(min_length=1, description="All of them: nothing else is installed.")


class Files(_Lock):
    """Files out of one archive, which is never imported or run."""

    kind: Literal["files"]
    source: Source
    members: dict[str, Member] = Field(min_length=1, description="By the name they get.")

    @model_validator(mode="after")
    def _plain_names(self) -> Files:
        if bad := [name for name in self.members if Path(name).name != name or name.startswith(".")]:
            raise ValueError(f"`{bad[0]}` is no plain file name")
        return self


Lock = Environment | Files


def names() -> list[str]:
    """What can be fetched."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def find_lock(name: str) -> Lock:
    """A lock by name. Raises RequestError with the nearest one."""
    if name not in names():
        raise RequestError(f"nothing is called `{name}` that edgekd fetches", nearest(name, names()))
    return read_lock(FOLDER / f"{name}.toml")


def read_lock(path: Path) -> Lock:
    """A lock's file, checked. Raises RequestError or ProblemsError."""
    table = read_toml(path)
    table = {"name": path.stem} | table
    environment = table.get("kind") == "environment"
    return parse(Environment, table, path.name) if environment else parse(Files, table, path.name)
