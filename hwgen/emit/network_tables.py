"""Tables of what a network is made of: constructors, kinds of layers, and finishes of linear ones, from the records."""

from dataclasses import MISSING, fields
from typing import Any, Literal, get_args, get_origin

from hwgen.spec.constructors import CONSTRUCTORS
from hwgen.spec.layers import Rows
from hwgen.spec.layers.linear import Finish
from hwgen.spec.limits import base_types
from hwgen.spec.weight_formats import WeightFormat
from hwgen.store.layer_lists import FINISHES, LAYERS

HEADER = ("kind", "what it is", "fields")


def _type(kind: Any) -> str:
    """A type as a reader of YAML knows it."""
    if get_origin(kind) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(kind))
    if get_origin(kind) is tuple:
        return "list of names"
    if kind is Rows:
        return "tensor, or `{tensor, first, count}`"
    if kind == Finish:
        return "finish"
    plain = {int: "number", float: "number", str: "text", bool: "yes or no"}
    return next((word for base, word in plain.items() if kind is base or base in get_args(kind)), "value")


def _fields(record: type[Any]) -> str:
    """Every field that a file may give, with its type, and its default where it has one."""
    types, found = base_types(record), list[str]()
    for item in fields(record):
        if types[item.name] is WeightFormat:
            continue
        found.append(f"`{item.name}`: {_type(types[item.name])}{_default(item.default)}")
    return "; ".join(found) or "none"


def _default(value: object) -> str:
    words = {None: "none", True: "yes", False: "no"}
    if value is MISSING:
        return ""
    return f" ({words[value] if value is None or isinstance(value, bool) else value})"


def _rows(records: dict[str, type[Any]]) -> list[tuple[str, ...]]:
    what = {name: (record.__doc__ or "").strip().split("\n")[0] for name, record in records.items()}
    return [(f"`{name}`", what[name], _fields(record)) for name, record in records.items()]


def constructor_rows() -> list[tuple[str, ...]]:
    """Parts of a vision transformer."""
    return _rows(dict(CONSTRUCTORS))


def layer_rows() -> list[tuple[str, ...]]:
    """Single layers."""
    return _rows(dict(LAYERS))


def finish_rows() -> list[tuple[str, ...]]:
    """What is done with the sums of a linear layer."""
    return _rows(FINISHES)
