"""YAML files with a fixed set of keys: what is wrong, where, the limit, and the nearest valid key."""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from hwgen.spec.limits import base_types, limits_of
from hwgen.spec.shown import nearest, shown

Record = TypeVar("Record")


class ConfigError(ValueError):
    """A board or arch file that cannot be used; the message names the file and every key that is wrong."""


class _UniqueKeyLoader(yaml.SafeLoader):
    """Safe loader that refuses a key given twice, and aliases: a few lines of them stand for billions of values."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """One node; ConfigError names the line of an alias."""
        events = cast("Any", self)  # PyYAML has no types
        if events.check_event(yaml.AliasEvent):
            event = events.peek_event()
            raise ConfigError(f"line {event.start_mark.line + 1}: alias *{shown(event.anchor)[1:-1]}; write it out")
        return cast("Any", super()).compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Mapping of ``node``; ConfigError names a key that is no name or is repeated, and its line."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key.value, str):
                raise ConfigError(f"line {key.start_mark.line + 1}: a key is a list or a mapping; give a name")
            if key.value in seen:
                raise ConfigError(f"line {key.start_mark.line + 1}: key {shown(key.value)} is given twice; keep one")
            seen.add(key.value)
        return cast("dict[Any, Any]", super().construct_mapping(node, deep=deep))  # pyright: ignore[reportUnknownMemberType]


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping in the YAML file ``path``; ConfigError when there is none."""
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    try:
        data: object = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except RecursionError as error:
        raise ConfigError(f"{path}: not readable as YAML: brackets are nested too deep") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except (yaml.YAMLError, ValueError, KeyError, AttributeError) as error:  # PyYAML's own for dates and tags
        raise ConfigError(f"{path}: not readable as YAML: {error}") from error
    if not isinstance(data, Mapping):
        raise ConfigError(f"{path}: expected keys and values, found {type(data).__name__}")
    return {str(key): value for key, value in cast("Mapping[object, Any]", data).items()}


@cache
def _model_of(record: type) -> type[BaseModel]:
    """A pydantic model with the fields, types and limits of a dataclass."""
    made: dict[str, Any] = {}
    types, limits = base_types(record), limits_of(record)
    for item in fields(record):
        kind = types[item.name]
        rules: dict[str, Any] = {} if item.default is MISSING else {"default": item.default}
        if item.name in limits:
            bound = limits[item.name]
            rules |= {"gt" if bound.above else "ge": bound.least, "le": bound.most}
        made[item.name] = (_model_of(kind) if is_dataclass(kind) else kind, Field(**rules))
    config = ConfigDict(extra="forbid", frozen=True)
    return cast("type[BaseModel]", cast("Any", create_model)(record.__name__, __config__=config, **made))


def _built(record: type[Record], values: BaseModel) -> Record:
    """The dataclass of checked values, and of those inside it."""
    found: dict[str, Any] = {}
    for name, kind in base_types(record).items():
        value = getattr(values, name)
        found[name] = _built(cast("type[Any]", kind), value) if is_dataclass(kind) else value
    return record(**found)


def _keys_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Field names of the record at ``path`` inside ``model``."""
    for step in path:
        field = model.model_fields.get(str(step))
        annotation = field.annotation if field else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)


def _complaint(model: type[BaseModel], error: Any) -> str:
    """One line for one pydantic error: key, value, limit and fix."""
    where: tuple[int | str, ...] = error["loc"]
    key = ".".join(str(step) for step in where)
    if error["type"] == "extra_forbidden":
        return f"unknown key {shown(key)}{nearest(str(where[-1]), _keys_at(model, where[:-1]))}"
    if error["type"] == "missing":
        return f"key {key!r} is missing; add it"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{key} = {shown(error['input'])}: {message}" if where else message


def validated(record: type[Record], data: Mapping[str, Any], source: str) -> Record:
    """``data`` as a ``record``, a dataclass or a pydantic model; ConfigError lists every key that is wrong."""
    plain = is_dataclass(record)
    model = _model_of(record) if plain else cast("type[BaseModel]", record)
    try:
        found = model.model_validate(dict(data))
        return _built(record, found) if plain else cast("Record", found)
    except ValidationError as error:
        lines = [_complaint(model, item) for item in error.errors()]
        raise ConfigError("\n".join(f"{source}: {line}" for line in lines)) from error
    except ValueError as error:  # of the dataclass: what one field alone does not show
        raise ConfigError(f"{source}: {error}") from error
