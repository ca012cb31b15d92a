"""From TOML to recipe and target: extending, overriding, and every mistake collected."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from edgekd.errors import MissingError, Problem, ProblemsError, RequestError, nearest

Table = dict[str, Any]


def read_toml(path: Path, hint: str = "") -> Table:
    """A TOML file as a dict. Raises RequestError that names the line where it does not parse."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingError(f"`{path}` does not exist", hint) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"`{path}` is not TOML: {error}", "mend that line") from None
    except OSError as error:
        raise MissingError(f"`{path}` cannot be read: {error.strerror}") from None


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Table:
    """`over` laid on `base`, tables merged key by key, everything else replaced."""
    out = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
        out[key] = merge(out[key], value) if both else value
    return out


def parse_overrides(pairs: Iterable[str]) -> tuple[Table, list[Problem]]:
    """`a.b=value` strings as a nested table; values are TOML, bare words are strings."""
    flat: Table = {}
    problems = []
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not key.strip() or not all(key.strip().split(".")):
            problems.append(Problem("--set", f"`{pair}` is not KEY=VALUE", "for example `--set train.steps=2000`"))
            continue
        try:
            flat[key.strip()] = tomllib.loads(f"v = {text}")["v"]
        except tomllib.TOMLDecodeError:
            flat[key.strip()] = text.strip()
    return nest(flat), problems


def nest(flat: Mapping[str, Any]) -> Table:
    """`{"a.b": 1}` as `{"a": {"b": 1}}`."""
    out: Table = {}
    for dotted, value in flat.items():
        *parents, leaf = dotted.split(".")
        table = value if not parents else nest({".".join([*parents[1:], leaf]): value})
        out = merge(out, {parents[0] if parents else leaf: table})
    return out


M = TypeVar("M", bound=BaseModel)


def parse(model: type[M], table: Mapping[str, Any], where: str) -> M:
    """A table as a model. Raises ProblemsError with every mistake, each placed under `where`."""
    try:
        return model.model_validate(dict(table))
    except ValidationError as error:
        raise ProblemsError(problems_of(error, model, where)) from None


def problems_of(error: ValidationError, model: type[BaseModel], where: str) -> list[Problem]:
    """Pydantic's errors in our words; unknown keys come with the nearest known one."""
    out = []
    for e in error.errors():
        path = ".".join(str(p) for p in e["loc"])
        place = f"{where}: {path}" if path else where
        if e["type"] == "extra_forbidden":
            known = _fields_at(model, e["loc"][:-1])
            out.append(Problem(place, "unknown key", nearest(str(e["loc"][-1]), known)))
        elif e["type"] == "missing":
            out.append(Problem(place, "is required", ""))
        else:
            message = e["msg"].removeprefix("Value error, ")
            given = e["input"] if e["type"] != "json_invalid" else None
            shown = f", not `{given}`" if isinstance(given, (str, int, float, bool)) else ""
            out.append(Problem(place, message[:1].lower() + message[1:] + shown))
    return out


def _fields_at(model: Any, loc: Sequence[Any]) -> list[str]:
    """Field names of the model found by walking `loc` from `model`; dict keys and indices are stepped over."""
    for part in loc:
        if isinstance(model, type) and issubclass(model, BaseModel):
            field = next((f for n, f in model.model_fields.items() if part in (n, f.alias)), None)
            model = field.annotation if field else None
        else:
            model = next((a for a in reversed(get_args(model)) if a is not Ellipsis), None)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return []
    return [f.alias or n for n, f in model.model_fields.items()]
