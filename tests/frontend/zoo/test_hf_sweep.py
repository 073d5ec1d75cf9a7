"""Random changes of transformers' config.json: transformers computes what was imported, or the import refuses."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.frontend.importers.checkpoint import CheckpointError
from hwgen.frontend.importers.expect import USUAL_DB
from hwgen.frontend.importers.hf_kinds import KINDS, READ
from hwgen.frontend.importers.imported import Imported
from tests.frontend.zoo.hugging import agreement, answer, imported, made, saved
from tests.frontend.zoo.others import transformers

DRAWS = 120
CLASSES = [name for kind in KINDS.values() for name in kind.classes]
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, 2, 4, 8, 16, 32, 64, 128, 0.5, 1e-3, "gelu", "relu", [16, 64], [8, 8], [1], {}, ...,
)  # fmt: skip
OWN: dict[str, tuple[Any, ...]] = {
    "model_type": (*KINDS, "vit_msn", "ijepa"),
    "architectures": tuple([name] for name in CLASSES),
    "hidden_act": ("gelu", "relu", "gelu_new", "gelu_10", "quick_gelu", "swish", "mish", "relu6", "leaky_relu"),
    "layer_norm_eps": (1e-12, 1e-3, 0.09),
    "image_size": (32, [16, 64], [64, 16], [8, 128], 33, 64),
    "id2label": tuple({str(i): f"{i}" for i in range(count)} for count in (1, 9, 10, 11)),
}
# Entries that transformers does not write for these networks, and some that other networks have.
BESIDES = (
    "head_dim", "is_causal", "is_decoder", "attention_bias", "mlp_ratio", "intermediate_size", "num_register_tokens",
    "use_swiglu_ffn", "rope_theta", "scale_embeddings", "sliding_window", "num_labels", "pruned_heads",
)  # fmt: skip


def _changed(base: dict[str, Any], seed: int) -> dict[str, Any]:
    """A configuration with one or two entries changed or taken away; those that are read more often."""
    rng, data = random.Random(seed), dict(base)
    names = [*base, *BESIDES, *(name for name in READ if name in base)]
    for name in rng.sample(names, rng.choice((1, 1, 2))):
        value = rng.choice(OWN.get(name, VALUES) if rng.random() < 0.7 else VALUES)
        data[name] = value
    return {name: value for name, value in data.items() if value is not ...}


def _theirs(folder: Path, kind: str, ours: Imported) -> np.ndarray | None:
    """What transformers computes with the file; None where it cannot."""
    named = json.loads((folder / "config.json").read_text()).get("architectures")
    try:
        return answer(getattr(transformers, named[0] if named else kind).from_pretrained(folder), ours)
    except Exception:  # of many types: fields of its configuration, sizes, names
        return None


def test_it_agrees_or_is_refused(tmp_path: Path):
    bases: dict[str, dict[str, Any]] = {}
    for kind in CLASSES:
        saved(made(kind), tmp_path / kind)
        bases[kind] = json.loads((tmp_path / kind / "config.json").read_text())
    agreed, refused, wrong = 0, 0, list[tuple[str, dict[str, Any]]]()
    for seed in range(DRAWS):
        kind = CLASSES[seed % len(CLASSES)]
        folder, data = tmp_path / kind, _changed(bases[kind], seed)
        (folder / "config.json").write_text(json.dumps(data))
        try:
            ours = imported(folder)
        except CheckpointError:
            refused += 1
            continue
        expected = _theirs(folder, kind, ours)
        if expected is None:
            continue  # a file that transformers itself does not take
        good = agreement(expected, ours) >= USUAL_DB
        agreed += good
        if not good:
            wrong.append((kind, {name: value for name, value in data.items() if bases[kind].get(name) != value}))
    assert wrong == []
    assert agreed >= DRAWS // 5
    assert refused >= DRAWS // 3
