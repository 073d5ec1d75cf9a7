"""Layers as plain data and back: what YAML files and packages hold of a network that is given as a list.

A record of data is a dataclass by its name in lower case under ``kind``, and its fields; rows are a tensor's name, or a
mapping when they are a part of it. The format of weights is no field: a network names its four-bit layers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, cast, get_args

from hwgen.spec.constructors import CONSTRUCTORS, Constructor, built
from hwgen.spec.layers import KINDS, Layer, Rows
from hwgen.spec.layers.linear import Finish
from hwgen.spec.limits import base_types
from hwgen.spec.model import TaskConfig
from hwgen.spec.shown import nearest, shown
from hwgen.spec.weight_formats import WeightFormat
from hwgen.store.strict_yaml import ConfigError, validated

_KIND = "kind"
_REPEAT = "repeat"
MOST_PARTS = 4096  # of a network, repetitions counted
LAYERS: dict[str, type[Layer]] = {kind.__name__.lower(): kind for kind in KINDS}
FINISHES: dict[str, type[Any]] = {kind.__name__.lower(): kind for kind in get_args(Finish)}
Data = dict[str, Any]


def layer_data(layer: Layer) -> Data:
    """A layer as plain data, what it says by default left out."""
    return {_KIND: type(layer).__name__.lower()} | _fields_data(layer)


def _fields_data(record: Any) -> Data:
    types = base_types(type(record))
    found: Data = {}
    for item in fields(record):
        value = getattr(record, item.name)
        if types[item.name] is WeightFormat or (item.default is not MISSING and value == item.default):
            continue
        found[item.name] = _value_data(value, types[item.name])
    return found


def _value_data(value: Any, kind: Any) -> Any:
    if isinstance(value, Rows):
        rows = _fields_data(value)
        return rows["tensor"] if rows.keys() == {"tensor"} else rows
    if kind == Finish:
        return {_KIND: type(value).__name__.lower()} | _fields_data(value)
    return list(cast("tuple[Any, ...]", value)) if isinstance(value, tuple) else value


def layers_of(parts: object, tasks: Sequence[TaskConfig], where: str) -> tuple[Layer, ...]:
    """Layers of a list of plain data, whose items are layers or constructors, these as often as they say.

    ConfigError, which starts with ``where``, names the item and what is wrong with it.
    """
    if not isinstance(parts, list | tuple) or not parts:
        raise ConfigError(f"{where}: layers: give a list, each item with its kind ({', '.join(_known())})")
    found: list[Constructor | Layer] = []
    for number, part in enumerate(cast("Sequence[object]", parts)):
        found += _items(part, f"{where}: layers.{number}")
        if len(found) > MOST_PARTS:
            raise ConfigError(f"{where}: layers.{number}: more than {MOST_PARTS} parts in all; a network has fewer")
    try:
        return built(tasks, found)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def _known() -> tuple[str, ...]:
    return (*CONSTRUCTORS, *LAYERS)


def _items(part: object, where: str) -> list[Constructor | Layer]:
    """One item of the list, repeated when it is a constructor that says so."""
    data = _mapping(part, where)
    kind = _kind(data, (*_known(),), where)
    if kind in LAYERS:
        return [_layer(LAYERS[kind], data, where)]
    times = data.pop(_REPEAT, 1)
    if type(times) is not int or not 1 <= times <= MOST_PARTS:
        raise ConfigError(f"{where}: {_REPEAT} = {shown(times)}: must be a whole number in 1..{MOST_PARTS}")
    record, named = CONSTRUCTORS[kind], f"{where} ({kind})"
    return [validated(record, _converted(base_types(record), data, named), named)] * times


def _mapping(part: object, where: str) -> Data:
    if not isinstance(part, Mapping):
        raise ConfigError(f"{where} = {shown(part)}: give keys and values, {_KIND} among them")
    return {str(key): value for key, value in cast("Mapping[object, Any]", part).items()}


def _kind(data: Data, known: Sequence[str], where: str) -> str:
    if _KIND not in data:
        raise ConfigError(f"{where}: key {_KIND!r} is missing; add it (known: {', '.join(known)})")
    kind = data.pop(_KIND)
    if kind not in known:
        raise ConfigError(f"{where}: unknown kind {shown(kind)}{nearest(str(kind), known)}")
    return kind


def _layer(record: type[Layer], data: Data, where: str) -> Layer:
    """A layer whose fields are plain data; its tensor is called as it is itself unless it says otherwise."""
    where = f"{where} ({record.__name__.lower()})"
    types = base_types(record)
    formats = [name for name, kind in types.items() if kind is WeightFormat]
    for name in formats:
        if name in data:
            raise ConfigError(f"{where}: {name}: list four-bit layers under int4 of the network instead")
    if "name" in data and "writes" in types:
        data.setdefault("writes", data["name"])
    return validated(record, _converted(types, data, where), where)


def _converted(types: Mapping[str, Any], data: Data, where: str) -> Data:
    """Values of plain data as the validation of records takes them."""
    return {name: _converted_value(types.get(name), value, f"{where}: {name}") for name, value in data.items()}


def _converted_value(kind: Any, value: Any, where: str) -> Any:
    if kind is int and type(value) is not int:
        raise ConfigError(f"{where} = {shown(value)}: must be a whole number")
    if kind is Rows and isinstance(value, str):
        return {"tensor": value}
    if kind == Finish:
        data = {_KIND: value} if isinstance(value, str) else _mapping(value, where)
        name = _kind(data, tuple(FINISHES), where)
        return validated(FINISHES[name], _converted(base_types(FINISHES[name]), data, where), f"{where} ({name})")
    return value
