"""The state_dict of `hwgen.frontend.m3vit.M3ViT` in a safetensors file whose metadata describes the network's shape.

`hwgen export --format hwgen` writes such files; so can a training script that calls `own_metadata`.
"""

import json
from dataclasses import replace
from typing import Any

from hwgen.frontend.importers.checkpoint import Checkpoint, CheckpointError
from hwgen.frontend.importers.imported import Imported, ImportOptions, refuse_unused
from hwgen.frontend.scaling import FloatArray
from hwgen.spec.graph import Network
from hwgen.spec.graph_model import Model
from hwgen.spec.layers import Norm
from hwgen.store.models import model_data, model_from

CONFIG_ENTRY = "hwgen.config"  # metadata entry that describes the network, JSON


def own_metadata(config: Model) -> dict[str, str]:
    """Metadata of a safetensors file with the weights of a network of this shape."""
    return {CONFIG_ENTRY: json.dumps(model_data(config), sort_keys=True)}


def _config(checkpoint: Checkpoint) -> Model:
    if CONFIG_ENTRY not in checkpoint.metadata:
        raise CheckpointError(
            f"{checkpoint.label}: no metadata entry {CONFIG_ENTRY}: weights alone do not say the network's shape; save"
            " them as .safetensors with it, as hwgen export and hwgen.frontend.importers.own.own_metadata do"
        )
    try:
        return model_from(json.loads(checkpoint.metadata[CONFIG_ENTRY]), "config")
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{checkpoint.label}: metadata entry {CONFIG_ENTRY} is damaged ({error})") from error


def _arrays(checkpoint: Checkpoint, network: Network) -> dict[str, FloatArray]:
    """Every array by its shape; weights and gammas may be dead where that is allowed."""
    gammas = {f"{layer.name}.weight" for layer in network.layers if isinstance(layer, Norm)}
    weights = {f"{name}.weight" for name in network.linears}
    found: dict[str, FloatArray] = {}
    for name, shape in network.floats.items():
        if name in gammas:
            found[name] = checkpoint.gamma(name, shape[0])
        else:
            found[name] = (checkpoint.weight if name in weights else checkpoint.take)(name, shape)
    return found


def import_own(checkpoint: Checkpoint, options: ImportOptions) -> Imported:
    """The float model in a file that carries its own shape; CheckpointError names what does not fit."""
    given: dict[str, Any] = {"--heads": options.heads, "--image-size": options.image_size}
    for option, value in given.items():
        if value is not None:
            raise CheckpointError(f"{option}: {checkpoint.label} says it itself; leave the option out")
    config = replace(_config(checkpoint), name=options.name)
    arrays = _arrays(checkpoint, config.network)
    refuse_unused(checkpoint)
    return Imported(config=config, arrays=arrays, notes=())
