"""timm's ``config.json`` beside a checkpoint, as arguments of ``VisionTransformer``.

timm writes it with ``save_for_hf`` and reads it back from a hub or a folder: ``architecture``, ``num_classes``,
``global_pool``, ``model_args`` (arguments of ``VisionTransformer``) and ``pretrained_cfg`` (how pictures are prepared).
"""

import json
from collections.abc import Mapping
from typing import Any, cast

from hwgen.frontend.importers.beside import CONFIG, read_object
from hwgen.frontend.importers.checkpoint import Checkpoint, CheckpointError
from hwgen.frontend.importers.form import Said
from hwgen.frontend.importers.timm_described import TimmNetwork
from hwgen.frontend.importers.timm_names import architecture

_ADVICE = "; if the file belongs to another network, move it away and compare the outputs (--expect)"


def _entry(data: Mapping[str, Any], name: str, label: str) -> dict[str, Any]:
    """An object in the file, empty where there is none."""
    found: Any = data.get(name) or {}
    if not isinstance(found, dict):
        raise CheckpointError(f"{label}: {name} is a {type(found).__name__}, expected an object; mend the file")
    return cast("dict[str, Any]", found)


def _numbers(source: Mapping[str, Any], name: str, label: str) -> tuple[float, ...] | None:
    found: Any = source.get(name)
    if found is None:
        return None
    values = cast("list[Any]", found) if isinstance(found, list) else []
    if not values or not all(isinstance(x, int | float) and not isinstance(x, bool) for x in values):
        raise CheckpointError(f"{label}: pretrained_cfg.{name} = {json.dumps(found)}, expected numbers; mend the file")
    return tuple(float(x) for x in values)


def timm_config(checkpoint: Checkpoint, notes: list[str]) -> TimmNetwork | None:
    """The config.json beside a checkpoint; None where there is none, or, with a note, one of another program."""
    if checkpoint.folder is None or not (checkpoint.folder / CONFIG).exists():
        return None
    path = checkpoint.folder / CONFIG
    label, data = str(path), read_object(path)
    name: Any = data.get("architecture")
    if not isinstance(name, str):
        notes.append(f"{label} names no architecture of timm's: not read")
        return None
    stands_for = architecture(name)
    if not stands_for.known:
        notes.append(f"{label}: what timm computes for architecture {name} is not known here; only its entries count")
    args = {key: Said(value=value, where=f"architecture {name}") for key, value in stands_for.args.items()}
    for key in ("num_classes", "global_pool"):
        if data.get(key) is not None:
            args[key] = Said(value=data[key], where=key)
    if data.get("num_features") is not None:
        args["embed_dim"] = Said(value=data["num_features"], where="num_features")
    for key, value in _entry(data, "model_args", label).items():
        args[key] = Said(value=value, where="model_args")
    args |= {key: Said(value=value, where=f"architecture {name}") for key, value in stands_for.fixed.items()}
    prepared = _entry(data, "pretrained_cfg", label)
    pixels = {key: values for key in ("mean", "std") if (values := _numbers(prepared, key, label)) is not None}
    size = _numbers(prepared, "input_size", label)
    return TimmNetwork(
        label=label,
        source=CONFIG,
        architecture=name,
        known=stands_for.known,
        args=args,
        pixels=pixels,
        input_size=(int(size[1]), int(size[2])) if size is not None and len(size) == 3 else None,
        advice=_ADVICE,
        kind="file",
    )
