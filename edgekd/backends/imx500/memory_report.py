"""`NAME_MemoryReport.json`, which the vendor's converter writes: what the network takes of the chip's memory.

Sizes are text in binary units with two decimals, in some locales with a comma: `1.60MB` is 1.60 MiB.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from edgekd.errors import RequestError

_SIZE = re.compile(r"\s*(\d{1,12}(?:[.,]\d{1,6})?)\s*(B|KB|MB|GB)\s*", re.ASCII)
_UNITS = {"B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30}
FILE = "{}_MemoryReport.json"


@dataclass(frozen=True)
class MemoryReport:
    """Bytes as the report rounds them."""

    runtime: float
    model: float
    total: float
    fits: bool
    persistent: bool


def parse_report(data: bytes) -> MemoryReport:
    """The report. Raises RequestError where it is not understood."""
    try:
        told = json.loads(data)["Memory Report"]
        return MemoryReport(
            size(told["Runtime Memory Physical Size"]),
            size(told["Model Memory Physical Size"]),
            size(told["Total Memory Available On Chip"]),
            told["Fit In Chip"] is True,
            told["Input Persistent"] is True,
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        lacking = f"it lacks {error}" if isinstance(error, KeyError) else "it is not of the known form"
        raise RequestError(f"the memory report is not understood: {lacking}") from None


def size(text: Any) -> float:
    """Bytes of a size as text. Raises ValueError."""
    match = _SIZE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"no size: {text!r}")
    return float(match[1].replace(",", ".")) * _UNITS[match[2]]
