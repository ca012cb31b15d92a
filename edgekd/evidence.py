"""Figures with their witness, the append-only ledger, and the manifest of a bundle."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from edgekd.errors import MissingError, RequestError
from edgekd.resources import sha256
from edgekd.schema.base import Strict
from edgekd.schema.recipe import Recipe
from edgekd.schema.target import Target

Kind = Literal["measured", "simulated", "estimated"]


class Figure(Strict):
    """A number and what vouches for it."""

    name: str = Field(description="What it is, for example `psnr`.")
    subject: str = Field(description="What it is about: an arm or an artifact.")
    value: float
    unit: str
    kind: Kind
    sha256: str = Field("", description="SHA-256 of the file it is about.")
    n: int = Field(1, description="Samples behind the value.")
    interval: tuple[float, float] | None = Field(None, description="95 % interval of the value.")
    method: str = Field(description="How it was got.")
    tool: str = Field(description="Program and version that got it.")
    host: str = Field(description="The machine it was got on.")
    device: str = Field("", description="The device by its address; empty: where edgekd itself ran.")
    when: str = Field(description="UTC time, ISO 8601.")
    details: dict[str, Any] = Field(default_factory=dict, description="Threads, percentiles, load average, ...")


def now() -> str:
    """The time in UTC, to the second, ISO 8601."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@cache
def host() -> str:
    """This machine in a line: CPU model, logical CPUs, operating system."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    return f"{model}, {os.cpu_count()} CPUs, {platform.system()} {platform.machine()}"


class Ledger:
    """Figures of a run, one JSON line each; lines are only ever added."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, figures: list[Figure]) -> None:
        """Append figures that are not there yet."""
        known = self._lines()
        new = [line for f in figures if (line := json.dumps(f.plain(), sort_keys=True)) not in known]
        torn = bool(known) and not self.path.read_bytes().endswith(b"\n")
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n" * torn + "".join(line + "\n" for line in new))

    def read(self) -> list[Figure]:
        """All figures, oldest first. A line that a killed process left unfinished is passed over."""
        try:
            return [Figure.model_validate(entry) for line in self._lines() if (entry := _json(line)) is not None]
        except ValueError as error:
            raise RequestError(f"`{self.path}` is damaged: {str(error).splitlines()[0]}") from None

    def _lines(self) -> list[str]:
        return self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


class ArmRecord(Strict):
    """An arm in a bundle."""

    title: str
    method: str
    graph: str = Field(description="Its ONNX file in the bundle.")


class EngineRecord(Strict):
    """An engine in a bundle; what it is lies in `artifacts/NAME/artifact.json`."""

    role: Literal["target", "stand-in"] = Field(
        description="A stand-in computes the target's arithmetic, not its speed."
    )
    why: str = Field("", description="Why a stand-in's answers tell something about the target's.")


class Manifest(Strict):
    """What a bundle holds and how it came to be (schema version 1)."""

    schema_version: Literal[1] = Field(1, alias="schema")
    name: str = Field(description="The run's name.")
    created: str = Field(description="UTC time, ISO 8601.")
    recipe: Recipe = Field(description="The resolved recipe, every default written out.")
    target: Target = Field(description="The resolved descriptor and the chosen engine.")
    arms: dict[str, ArmRecord]
    left_out: dict[str, str] = Field(default_factory=dict, description="Arms of the recipe not made here, and why.")
    engines: dict[str, EngineRecord]
    data: dict[str, str] = Field(description="SHA-256 of every data file, as FOLDER/FILE.")
    teachers: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="What teachers outside were asked, by step, and SHA-256 of their answers."
    )
    steps: dict[str, str] = Field(description="Key of every step.")
    versions: dict[str, str] = Field(description="Python, edgekd and the packages that took part.")
    host: str = Field(description="The machine that trained and compiled.")
    files: dict[str, str] = Field(description="SHA-256 of every file of the bundle.")


class Bundle:
    """The immutable folder of a run; its ledger and report lie beside it."""

    def __init__(self, folder: Path) -> None:
        inner = folder / "bundle"
        self.path = inner if inner.is_dir() else folder
        manifest = self.path / "manifest.json"
        if not manifest.is_file():
            raise MissingError(f"`{folder}` holds no bundle", "give the folder that `edgekd compress` printed")
        try:
            self.manifest = Manifest.model_validate_json(manifest.read_text(encoding="utf-8"))
        except ValueError as error:  # pydantic's errors are ValueErrors
            raise RequestError(f"`{manifest}` is damaged: {str(error).splitlines()[0]}") from None

    @property
    def run(self) -> Path:
        """The folder that holds bundle, ledger and report."""
        return self.path.parent

    @property
    def ledger(self) -> Ledger:
        """The ledger beside the bundle."""
        return Ledger(self.run / "ledger.jsonl")

    def changed(self) -> list[str]:
        """Files whose content is not what the manifest says, or that are gone."""
        listed = self.manifest.files
        return [name for name, want in listed.items()
                if not (self.path / name).is_file() or sha256(self.path / name) != want]  # fmt: skip
