"""edgekd: one declared run from a teacher to a verified artifact on an edge target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "compress"]

if TYPE_CHECKING:
    from edgekd.pipeline import compress


def __getattr__(name: str) -> Any:
    if name == "compress":
        from edgekd.pipeline import compress

        return compress
    raise AttributeError(f"module 'edgekd' has no attribute {name!r}")
