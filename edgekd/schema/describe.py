"""A declared model as a table of its fields, from the model itself, so that it cannot lag behind."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined


def as_markdown(model: type[BaseModel]) -> str:
    """Every field, its type, its default and its meaning."""
    lines = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for path, kind, default, about in fields(model):
        lines.append(f"| `{path}` | {kind} | {default} | {about} |")
    return "\n".join(lines)


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Path, type, default and description; tables are followed by their own fields."""
    for name, field in model.model_fields.items():
        inner, suffix = _table(field.annotation)
        path = f"{prefix}{field.alias or name}{suffix}"
        required = field.is_required()
        if inner is not None:
            yield path, "table" if not suffix else "tables", "required" if required else "", field.description or ""
            yield from fields(inner, f"{path}.")
        else:
            default = "required" if required else _default(field.get_default(call_default_factory=True))
            yield path, _name(field.annotation), default, field.description or ""


def _table(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    """The model behind an annotation, with `.NAME` for tables by name and `[]` for lists of them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    for inner in get_args(annotation):
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            return inner, ".NAME" if get_origin(annotation) is dict else "[]"
    return None, ""


def _name(annotation: Any) -> str:
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _name(inside[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inside)
    if origin in (Union, UnionType):
        return " or ".join(_name(a) for a in inside if a is not type(None))
    if origin is tuple:
        return "list of " + _name(next(a for a in inside if a is not Ellipsis))
    if origin is dict:
        return "table"
    return {int: "integer", float: "number", str: "text", bool: "true or false"}.get(annotation, "anything")


def _default(value: Any) -> str:
    if value is None or value is PydanticUndefined or value in ((), {}, ""):
        return "none"
    return f"`{value}`"
