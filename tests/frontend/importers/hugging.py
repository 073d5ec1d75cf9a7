"""Files of transformers made by hand: entries of config.json, and what is imported with them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.frontend.importers.checkpoint import Checkpoint
from hwgen.frontend.importers.hf import import_hf
from hwgen.frontend.importers.imported import Imported, ImportOptions
from tests.frontend.importers.made import DEPTH, DIM, Arrays, hf_entries, hf_state

VIT = hf_entries()
DINO = hf_entries(model_type="dinov2", architectures=["Dinov2Model"], mlp_ratio=2)
REGISTERS = {**DINO, "model_type": "dinov2_with_registers", "architectures": ["Dinov2WithRegistersModel"]}


def imported(arrays: Arrays, entries: dict[str, Any], **options: Any) -> Imported:
    """The network of these files in the current folder; an entry ``...`` is left out."""
    Path("config.json").write_text(json.dumps({name: value for name, value in entries.items() if value is not ...}))
    checkpoint = Checkpoint("net.safetensors", arrays, folder=Path())
    return import_hf(checkpoint, ImportOptions(name="net", **options))


def without_head(arrays: Arrays) -> Arrays:
    """A backbone alone."""
    return {name: array for name, array in arrays.items() if not name.startswith("head")}


def scaled(arrays: Arrays) -> tuple[Arrays, Arrays]:
    """A backbone with LayerScales, under timm's names and under those of DINOv2."""
    rng = np.random.default_rng(9)
    gammas = {(block, at): rng.normal(size=DIM).astype(np.float32) for block in range(DEPTH) for at in (1, 2)}
    timm = {f"blocks.{block}.ls{at}.gamma": gamma for (block, at), gamma in gammas.items()}
    there = {f"encoder.layer.{block}.layer_scale{at}.lambda1": gamma for (block, at), gamma in gammas.items()}
    return arrays | timm, hf_state(arrays, dino=True) | there
