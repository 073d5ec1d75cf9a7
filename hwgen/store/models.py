"""Networks as plain data, in YAML files and in packages: shapes of an M3ViT, and lists of layers.

A file gives ``base``, a preset, and the fields of its shape that differ; or all fields of a shape; or ``tasks`` and
``layers``, a list of constructors and single layers. docs/networks.md shows each.
"""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any, TypeVar, cast

from hwgen.spec.graph_model import GraphModel, Model
from hwgen.spec.limits import base_types
from hwgen.spec.model import ModelConfig, TaskConfig
from hwgen.spec.presets import MODELS, model_config
from hwgen.spec.shown import nearest, shown
from hwgen.store.layer_lists import layer_data, layers_of
from hwgen.store.strict_yaml import ConfigError, read_mapping

Record = TypeVar("Record")
YAML = (".yaml", ".yml")
_LAYERS = "layers"
_LISTS = ("moe_blocks", "int4")  # of a ModelConfig: tuples, which JSON has not
_KEEP = "keep"  # of a ModelConfig: pairs, in files a mapping
_LIST_FIELDS = ("name", "tasks", _LAYERS, "int4")


def model_data(model: Model) -> dict[str, Any]:
    """A description of a network as JSON holds it."""
    return shape_data(model) | ({} if isinstance(model, ModelConfig) else {_LAYERS: layers_data(model)})


def shape_data(model: Model) -> dict[str, Any]:
    """The same without layers that are listed."""
    if isinstance(model, ModelConfig):
        return asdict(model) | {_KEEP: {str(block): share for block, share in model.keep}}
    return {"name": model.name, "tasks": [asdict(task) for task in model.tasks], "int4": list(model.int4)}


def is_shape(data: Mapping[str, Any]) -> bool:
    """Whether plain data is the shape of an M3ViT, and no list of layers."""
    return "depth" in data


def layers_data(model: Model) -> list[dict[str, Any]]:
    """Every layer of a network, the formats of weights left out."""
    return [layer_data(layer) for layer in model.wide_layers()]


def model_from(data: object, where: str) -> Model:
    """The network of plain data; ConfigError, which starts with ``where``, lists what is wrong."""
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where}: {type(data).__name__} instead of an object")
    plain = {str(key): value for key, value in cast("Mapping[object, Any]", data).items()}
    tasks = _tasks(plain, where)
    if _LAYERS in plain:
        return _graph(plain, tasks, where)
    lists = {name: tuple(_list(plain, name, where)) for name in _LISTS}
    model = _made(ModelConfig, {**plain, **lists, _KEEP: _shares(plain, where), "tasks": tasks}, where)
    try:
        _ = model.network  # sizes that only its layers show
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
    return model


def _made(record: type[Record], data: Mapping[str, Any], where: str) -> Record:
    """A record that checks its own fields; ConfigError names keys that are unknown or missing, and what it refuses."""
    known = {item.name: item for item in fields(cast("Any", record))}
    for name in data:
        if name not in known:
            raise ConfigError(f"{where}: unknown key {shown(name)}{nearest(name, known)}")
    missing = [name for name, item in known.items() if item.default is MISSING and name not in data]
    if missing:
        raise ConfigError(f"{where}: {', '.join(missing)}: missing; add {'it' if len(missing) == 1 else 'them'}")
    for name, kind in base_types(record).items():
        if kind is bool and type(data.get(name, False)) is not bool:
            raise ConfigError(f"{where}: {name} = {shown(data[name])}: give true or false")
    try:
        return record(**data)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{where}: {error}") from error


def _tasks(plain: Mapping[str, Any], where: str) -> tuple[TaskConfig, ...]:
    found = plain.get("tasks")
    if not isinstance(found, list | tuple) or not found:
        what = "empty" if isinstance(found, list | tuple) else shown(found) if "tasks" in plain else "missing"
        raise ConfigError(f"{where}: tasks is {what}; a network has one or more")
    items = cast("list[object]", found)
    for number, item in enumerate(items):
        if not isinstance(item, Mapping):
            raise ConfigError(f"{where}: tasks.{number} = {shown(item)}: give name, kind and classes")
    mappings = [{str(key): value for key, value in cast("Mapping[object, Any]", item).items()} for item in items]
    return tuple(_made(TaskConfig, item, f"{where}: tasks.{n}") for n, item in enumerate(mappings))


def _list(plain: Mapping[str, Any], field: str, where: str) -> list[Any]:
    found = plain.get(field, ())
    if not isinstance(found, list | tuple):
        raise ConfigError(f"{where}: {field} = {shown(found)}: give a list")
    for value in cast("list[object]", found):
        if isinstance(value, list | dict):
            raise ConfigError(f"{where}: {field}: {shown(value)} in it is no single value")
    return list(cast("list[Any]", found))


def _shares(plain: Mapping[str, Any], where: str) -> tuple[tuple[int, Any], ...]:
    """Block -> share of its tokens; JSON has text for keys."""
    found = plain.get(_KEEP, {})
    if isinstance(found, tuple | list) and not found:  # of a ModelConfig
        return ()
    if not isinstance(found, Mapping):
        raise ConfigError(f"{where}: {_KEEP} = {shown(found)}: give a block and the share that it keeps: {{3: 0.7}}")
    blocks = {str(block): share for block, share in cast("Mapping[object, Any]", found).items()}
    wrong = [block for block in blocks if not block.isdecimal()]
    if wrong:
        raise ConfigError(f"{where}: {_KEEP}: {shown(wrong[0])} is no number of a block")
    return tuple(sorted((int(block), share) for block, share in blocks.items()))


def _graph(plain: Mapping[str, Any], tasks: tuple[TaskConfig, ...], where: str) -> GraphModel:
    for name in plain:
        if name not in _LIST_FIELDS:
            raise ConfigError(f"{where}: unknown key {shown(name)} beside layers (known: {', '.join(_LIST_FIELDS)})")
    if not isinstance(plain.get("name"), str):
        raise ConfigError(f"{where}: name = {shown(plain.get('name'))}: must be text")
    layers, int4 = layers_of(plain[_LAYERS], tasks, where), tuple(_list(plain, "int4", where))
    try:
        return GraphModel(name=plain["name"], layers=layers, tasks=tasks, int4=int4)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{where}: {error}") from error


def load_model_file(path: Path) -> Model:
    """The network that a YAML file describes; its name is the file's unless it says another."""
    data = read_mapping(path)
    base = data.pop("base", None)
    if base is not None:
        if _LAYERS in data:
            raise ConfigError(f"{path}: base and layers: give one of them")
        try:
            data = shape_data(model_config(str(base))) | {"name": path.stem} | data
        except ValueError as error:
            raise ConfigError(f"{path}: base: {error}") from error
    model = model_from({"name": path.stem, **data}, str(path))
    if model.name in MODELS:
        raise ConfigError(f"{path}: name {model.name} is that of a preset; give another")
    return model


def find_model(name: str) -> Model:
    """A preset by name, or a file when ``name`` ends in ``.yaml`` or ``.yml``."""
    return load_model_file(Path(name)) if name.lower().endswith(YAML) else model_config(name)
