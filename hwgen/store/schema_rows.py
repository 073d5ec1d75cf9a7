"""A declared record as rows of a table: the path of every key, its type in JSON, and what it means."""

from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

_PLAIN: dict[Any, str] = {
    int: "integer",
    float: "number",
    str: "text",
    bool: "true or false",
    type(None): "null",
    Any: "any",
    dict: "object",
    list: "list",
}
Row = tuple[str, str, str]


def _inner(kind: Any) -> tuple[type[BaseModel] | None, str]:
    """The record inside a type, and what its path is continued with."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind, ""
    for part in get_args(kind):
        found, path = _inner(part)
        if found is not None:
            mark = {list: "[]", dict: ".*"}.get(get_origin(kind), "")
            return found, mark + path
    return None, ""


def _type(kind: Any) -> str:
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        words = [_type(part) for part in parts]
        return "number" if words == ["number", "integer"] else " or ".join(words)
    if origin is Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if origin is list:
        return "list" if _inner(kind)[0] else f"list of {_type(parts[0])}"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "object"
    return _PLAIN[origin or kind]


def rows(record: type[BaseModel], before: str = "") -> list[Row]:
    """(path, type, meaning) of every key, those of inner records behind the key that holds them.

    A record that some command writes by itself has a table of its own.
    """
    found: list[Row] = []
    for name, field in record.model_fields.items():
        path = before + (field.alias or name)
        kind = _type(field.annotation)
        kind = kind.removesuffix(" or null") + ", or not there" if not field.is_required() else kind
        found.append((f"`{path}`", kind, field.description or ""))
        inner, mark = _inner(field.annotation)
        if inner is not None and not getattr(inner, "is_report", False):
            found += rows(inner, f"{path}{mark}.")
    return found
