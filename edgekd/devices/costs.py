"""What a network costs on any device, counted from its graph."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from edgekd.evidence import Bundle, Figure, host, now
from edgekd.graph.cost import count
from edgekd.graph.model import Graph, read_model
from edgekd.resources import sha256
from edgekd.store import installed

UNITS = {"parameters": "", "macs": "", "weight_bytes": "B", "peak_activation_bytes": "B"}


def costs(bundle: Bundle, arm: str) -> list[Figure]:
    """Counts of an arm's graph."""
    path = bundle.path / bundle.manifest.arms[arm].graph
    counted = asdict(count(Graph(read_model(path))))
    common: dict[str, Any] = {
        "subject": arm,
        "kind": "estimated",
        "sha256": sha256(path),
        "method": "counted from the graph at its deployed shape",
        "tool": f"edgekd {installed('edgekd')}",
        "host": host(),
        "when": now(),
    }
    return [Figure(name=name, value=value, unit=UNITS[name], **common) for name, value in counted.items()]
