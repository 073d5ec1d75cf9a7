"""Random arguments of timm's VisionTransformer: whichever way a network comes in, it agrees with timm or is refused."""

import random
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from golden.reference.m3vit_float import FloatModel
from hwgen.frontend.importers.checkpoint import CheckpointError, read_checkpoint
from hwgen.frontend.importers.expect import USUAL_DB, decibels
from hwgen.frontend.importers.imported import Imported, ImportOptions
from hwgen.frontend.importers.onnx import imported_graph
from hwgen.frontend.importers.onnx_graph.file import read_graph
from hwgen.frontend.importers.timm import import_described, import_timm
from hwgen.frontend.importers.timm_live import live_checkpoint, live_network
from tests.frontend.zoo.others import SMALL, export, noise, normalised, random_weights, timm, vit

DRAWS, GRAPHS = 60, 16
hub: Any = timm.models._hub
layers: Any = timm.layers
# Argument -> values; the first, timm's own, is drawn most often. What timm itself refuses is drawn again.
VALUES: dict[str, tuple[Any, ...]] = {
    "global_pool": ("token", "avg", "", "max", "avgmax", "map"),
    "class_token": (True, False),
    "reg_tokens": (0, 1, 3),
    "no_embed_class": (False, True),
    "fc_norm": (None, True, False),
    "pos_embed": ("learn", "none"),
    "pool_include_prefix": (False, True),
    "act_layer": (None, "relu", "silu", "quick_gelu", "gelu_tanh", "hard_swish", "elu", "mish", "leaky_relu"),
    "norm_layer": (None, "layernorm", "rmsnorm"),
    "init_values": (None, 0.3),
    "num_heads": (2, 1, 4),
    "qkv_bias": (True, False),
    "proj_bias": (True, False),
    "qk_norm": (False, True),
    "pre_norm": (False, True),
    "final_norm": (True, False),
    "scale_attn_norm": (False, True),
    "scale_mlp_norm": (False, True),
    "num_classes": (10, 0),
    "mlp_ratio": (2.0, 1.5),
    "img_size": (32, (16, 40)),
    "dynamic_img_size": (False, True),
    "attn_layer": ("attn", "diff"),
}
# Arguments that config.json cannot hold: drawn for live modules and graphs only.
OBJECTS: dict[str, tuple[Any, ...]] = {
    "norm_layer": (None, nn.LayerNorm, partial(nn.LayerNorm, eps=1e-4), layers.LayerNormFp32, layers.RmsNorm),
    "block_fn": (vit.Block, vit.ResPostBlock, vit.ParallelScalingBlock, vit.ParallelThingsBlock),
    "mlp_layer": (layers.Mlp, layers.SwiGLU, layers.GluMlp),
    "act_layer": (None, nn.ReLU, nn.Tanh, nn.Hardswish, partial(nn.GELU, approximate="tanh")),
}


def _drawn(seed: int, values: dict[str, tuple[Any, ...]]) -> dict[str, Any]:
    """A few arguments changed; those that usually change the function less often than the others."""
    rng = random.Random(seed)
    changed = rng.sample(sorted(values), rng.choice((1, 2, 2, 3, 4)))
    return {name: rng.choice(values[name]) for name in changed}


@cache
def _networks() -> list[tuple[dict[str, Any], nn.Module]]:
    """Networks of different arguments, all of which timm makes and runs."""
    found: list[tuple[dict[str, Any], nn.Module]] = []
    seed = 0
    while len(found) < DRAWS:
        seed += 1
        args = _drawn(seed, {**VALUES, **OBJECTS} if seed % 3 == 0 else VALUES)
        try:
            model = random_weights(timm.create_model("vit_tiny_patch16_224", **{**SMALL, **args}))
            _answer(model, False)
        except Exception:  # arguments that do not go together
            continue
        found.append((args, model))
    return found


def _answer(model: Any, features: bool) -> np.ndarray:
    """What timm computes for an image."""
    size = model.patch_embed.img_size
    with torch.no_grad():
        run = model.forward_features if features else model
        return run(normalised(noise(size, 5), *_pixels(model)))[0].double().numpy()


def _pixels(model: Any) -> tuple[np.ndarray, np.ndarray]:
    return np.array(model.pretrained_cfg["mean"]), np.array(model.pretrained_cfg["std"])


def _agrees(model: Any, imported: Imported) -> bool:
    """Whether the float network is timm's; False fails the test."""
    task = imported.config.tasks[0]
    size = (imported.config.image_height, imported.config.image_width)
    expected = _answer(model, task.kind == "features")
    ours = FloatModel(imported.arrays, imported.config).run(noise(size, 5), task.name)[f"heads.{task.name}"]
    return expected.size == ours.size and decibels(expected.ravel(), ours.ravel()) >= USUAL_DB


def _live(model: nn.Module, _args: dict[str, Any], _folder: Path) -> Imported:
    """By attributes alone: `from_timm` would run the module beside the network, and notice."""
    return import_described(live_checkpoint(model), ImportOptions(name="net"), live_network(model), [])


def _config(model: nn.Module, args: dict[str, Any], folder: Path) -> Imported:
    if any(callable(value) for value in args.values()):
        raise CheckpointError("arguments that are no JSON: timm itself cannot save the network")
    hub.save_for_hf(model, folder, safe_serialization=True)
    return import_timm(read_checkpoint(folder / "model.safetensors"), ImportOptions(name="net"))


def _graph(model: nn.Module, _args: dict[str, Any], folder: Path) -> Imported:
    """By structure alone: `import_onnx` would run the graph beside the network, and notice."""
    size: Any = model.patch_embed.img_size
    try:
        path = export(model, folder / "net.onnx", size=size)
    except Exception as error:  # torch's exporter does not know every layer
        raise CheckpointError(f"no export: {error}") from error
    mean, std = (tuple(float(x) for x in values) for values in _pixels(model))
    options = ImportOptions(name="net", mean=mean, std=std)
    return imported_graph(read_graph(path, None), options)[0]


@pytest.mark.parametrize(("way", "count"), [(_live, DRAWS), (_config, DRAWS), (_graph, GRAPHS)])
def test_it_agrees_or_is_refused(way: Any, count: int, tmp_path: Path):
    agreed, refused, wrong = 0, 0, list[dict[str, Any]]()
    for number, (args, model) in enumerate(_networks()[:count]):
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            imported = way(model, args, folder)
        except CheckpointError:
            refused += 1
            continue
        agreed += _agrees(model, imported)
        if not _agrees(model, imported):
            wrong.append(args)
    assert wrong == []
    assert agreed >= count // 4
    assert refused >= count // 8
    assert agreed + refused == count
