"""A table as TOML."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


def to_toml(table: Mapping[str, Any], path: tuple[str, ...] = ()) -> str:
    """Tables of strings, numbers, booleans, lists and tables; None is left out, as TOML has none."""
    plain = {k: v for k, v in table.items() if v is not None and not isinstance(v, Mapping)}
    inner = {k: v for k, v in table.items() if isinstance(v, Mapping) and v}
    lines = [f"{_key(k)} = {_value(v)}" for k, v in plain.items()]
    if path and lines:
        lines = [f"[{'.'.join(map(_key, path))}]", *lines]
    blocks = ["\n".join(lines) + "\n"] if lines else []
    return "\n".join([*blocks, *(to_toml(v, (*path, k)) for k, v in inner.items())])


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items() if v is not None) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
