"""Small networks of transformers with random weights, as files that it saves and reads back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from golden.reference.m3vit_float import FloatModel
from hwgen.frontend.importers.checkpoint import read_checkpoint
from hwgen.frontend.importers.expect import decibels
from hwgen.frontend.importers.hf import import_hf, weights_in
from hwgen.frontend.importers.imported import Imported, ImportOptions
from tests.frontend.zoo.others import (
    CLASSES,
    DEPTH,
    DIM,
    HEADS,
    PATCH,
    SIDE,
    noise,
    normalised,
    random_weights,
    transformers,
)

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

_SIZES: dict[str, Any] = {
    "hidden_size": DIM,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": HEADS,
    "image_size": SIDE,
    "patch_size": PATCH,
    "num_labels": CLASSES,
}
_VIT, _DINO = {**_SIZES, "intermediate_size": 2 * DIM}, {**_SIZES, "mlp_ratio": 2}
# Start of a class -> its configuration, and entries of it.
_CONFIGS: dict[str, dict[str, Any]] = {"ViT": _VIT, "DeiT": _VIT, "Dinov2WithRegisters": _DINO, "Dinov2": _DINO}


def made(name: str, arguments: dict[str, Any] | None = None, **changes: Any) -> nn.Module:
    """A network of a class by its name; ``arguments`` are the class's own, ``changes`` entries of its configuration."""
    family = next(start for start in _CONFIGS if name.startswith(start))
    config = getattr(transformers, f"{family}Config")(**{**_CONFIGS[family], **changes})
    return random_weights(getattr(transformers, name)(config, **(arguments or {})))


def saved(model: Any, folder: Path, entries: dict[str, Any] | None = None) -> Path:
    """A folder as transformers saves it; ``entries`` change config.json, None takes one away."""
    model.save_pretrained(folder)
    file = folder / "config.json"
    data = {**json.loads(file.read_text()), **(entries or {})}
    file.write_text(json.dumps({name: value for name, value in data.items() if value is not Ellipsis}))
    return folder


def imported(folder: Path, **options: Any) -> Imported:
    """The folder as this project reads it."""
    return import_hf(read_checkpoint(weights_in(folder)), ImportOptions(name="net", **options))


def answer(model: Any, ours: Imported, **arguments: Any) -> np.ndarray:
    """What transformers computes of an image of noise: logits, or the last hidden state."""
    rule = ours.pixels
    with torch.no_grad():
        there = model.eval()(normalised(_image(ours), np.array(rule.mean), np.array(rule.std)), **arguments)
    return (there.logits if hasattr(there, "logits") else there.last_hidden_state)[0].double().numpy()


def _image(ours: Imported) -> np.ndarray:
    return noise((ours.config.image_height, ours.config.image_width))


def agreement(expected: np.ndarray, ours: Imported) -> float:
    """Decibels between an answer of transformers and that of our float network."""
    task = ours.config.tasks[0]
    found = FloatModel(ours.arrays, ours.config).run(_image(ours), task.name)[f"heads.{task.name}"]
    assert found.size == expected.size
    return decibels(expected.ravel(), found.ravel())
