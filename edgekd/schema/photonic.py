"""A photonic device: a source of features for students, as data (schema version 1). No network runs on it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from edgekd.errors import RequestError, nearest
from edgekd.schema.base import Strict
from edgekd.schema.load import Table, merge, parse
from edgekd.schema.target import Validated
from edgekd.schema.targets import locate, photonics

Share = Annotated[float, Field(ge=0, le=1)]


class Interferometer(Strict):
    """Photons in time bins, and delay loops that let them meet on beam splitters."""

    photons: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=2, description="Input photons by mode.")
    loops: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        min_length=1, description="Lengths of the loops in time bins, in the order light passes them."
    )
    phases: bool = Field(False, description="Whether a phase shifter stands before each beam splitter.")

    @model_validator(mode="after")
    def _loops_fit(self) -> Interferometer:
        if max(self.loops) >= len(self.photons):
            raise ValueError(f"a loop of {max(self.loops)} bins does not fit {len(self.photons)} modes")
        return self


class Imperfections(Strict):
    """What a device does that the ideal circuit does not; nothing by default."""

    loop_loss: Share = Field(0.0, description="Probability of a photon to be lost in one round trip of a loop.")
    efficiency: Share = Field(1.0, description="Probability of a photon to be seen by its detector.")
    overlap: Share = Field(1.0, description="Mean overlap of two photons' states; 1: they cannot be told apart.")
    dark: Share = Field(0.0, description="Probability of a detector to click in a shot without light.")
    jitter: float = Field(
        0.0, ge=0, description="Standard deviation of each angle, drawn anew every `hold` shots; radians."
    )
    drift: float = Field(
        0.0,
        ge=0,
        description="Standard deviation of the steps of each angle's random walk, one every `hold` shots; radians.",
    )
    hold: int = Field(100, ge=1, description="Shots for which angles stand still.")


class Clock(Strict):
    """What time a device takes."""

    bins_per_second: float = Field(gt=0, description="Time bins per second.")
    setup_seconds: float = Field(ge=0, description="Seconds before the first shot of a new setting of angles.")


class Photonic(Strict):
    """A photonic device's descriptor: one file `targets/NAME.toml` with `kind = "photonic"`."""

    schema_version: Literal[1] = Field(alias="schema", description="Version of this schema.")
    kind: Literal["photonic"] = Field(description="What the file describes.")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="Name; equals the file's.")
    title: str = Field(description="What a person calls it.")
    aliases: tuple[str, ...] = Field((), description="Other names.")
    validated: Validated = Field(description="How far it was checked: on the device, in a simulator, or statically.")
    circuit: Interferometer = Field(description="The interferometer.")
    shots: int = Field(ge=1, description="Runs of the circuit behind a vector of features.")
    interleaved: bool = Field(
        False, description="Which modes form a half of the histogram: every second one, or neighbours."
    )
    source: str = Field(description="What gives the features: a name, or `FILE.py:CLASS` of a person's own.")
    options: dict[str, dict[str, Any]] = Field(default_factory=dict, description="Options of sources, by source.")
    imperfections: Imperfections = Field(
        default_factory=lambda: Imperfections(), description="What it does that the ideal circuit does not."
    )
    clock: Clock = Field(description="What time it takes.")
    sources: dict[str, str] = Field(description="Where each value comes from: field, or prefix of fields, to source.")

    @property
    def ideal(self) -> bool:
        """Whether it is without imperfections."""
        return self.imperfections == Imperfections(hold=self.imperfections.hold)

    @property
    def shot_seconds(self) -> float:
        """Seconds a shot takes: every mode and the delay of every loop is a time bin. Ours."""
        return (len(self.circuit.photons) + sum(self.circuit.loops)) / self.clock.bins_per_second


def find_photonic(name: str, overrides: Table | None = None) -> Photonic:
    """`device`, `alias`, `device:source`, or the path of a descriptor (`mine.toml`, `mine.toml:source`).

    Raises RequestError or ProblemsError for what is none, MissingError where there is no file.
    """
    wanted, _, source = name.partition(":")
    path, table = locate(wanted)
    if table.get("kind") != "photonic":
        message = f"`{wanted}` is a board, not a source of photonic features"
        raise RequestError(message, nearest(wanted, sorted(photonics())))
    chosen = {"source": source} if source else {}
    return parse(Photonic, merge(merge(table, chosen), overrides or {}), path.name)
