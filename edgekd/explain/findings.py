"""What was found: where time goes, and what would save how much of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["float layer", "float island", "slow layer", "quantize", "layout", "answers"]

REFUSED = "does not take it"
"""In place of a tool that ran a graph."""
UNRULED = "none of its rules are known here"
"""In place of rules that judged a graph."""


@dataclass(frozen=True)
class Finding:
    """One thing that costs time, or changes answers; times in milliseconds, of one inference."""

    kind: Kind
    tensor: str
    """The graph's tensor where to look."""
    what: str
    change: str
    """What would end it; empty where nothing is known."""
    tensors: tuple[str, ...] = ()
    """Everything it is about, by the tensors that are made."""
    layers: int = 0
    """Layers that it is about."""
    macs: int = 0
    ms: float | None = None
    """What it takes now; None where the engine does not run here."""
    saving: float | None = None
    """What the change is expected to save; None where nothing here tells."""
    method: str = ""
    """How the saving was predicted."""


@dataclass(frozen=True)
class Share:
    """A class of layers: how many, and their time."""

    what: str
    layers: int
    ms: float
    float_ms: float | None = None
    """What the float twin's layers for the same tensors take; None where it has none."""


@dataclass(frozen=True)
class Explanation:
    """A graph in one engine."""

    engine: str
    tool: str
    findings: list[Finding] = field(default_factory=list)
    shares: list[Share] = field(default_factory=list)
    proof: dict[str, object] = field(default_factory=dict)
    ms: float | None = None
    """Median of the whole inference, without the profiler; None where the engine does not run here."""
    float_ms: float | None = None
    """The same of the float twin, in turns."""
    ideal_ms: float | None = None
    """Estimated: all findings' savings made."""
    note: str = ""

    @property
    def layers_ms(self) -> float:
        """Sum of the layers' medians, each measured with the profiler on."""
        return sum(share.ms for share in self.shares)
