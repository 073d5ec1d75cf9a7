"""Where the cycles of a program go: every cycle and every multiplication once, under names that the network gives."""

import pytest

from hwgen.compiler.errors import CompileError
from hwgen.estimator.estimate import estimate
from hwgen.estimator.shares import branches
from hwgen.spec.design import Design
from hwgen.spec.graph_model import GraphModel, Model
from hwgen.spec.presets import M3VIT_MICRO, MODELS
from hwgen.store.archs import arch_preset
from hwgen.store.boards import board
from hwgen.store.models import model_from

POOLED = model_from(
    {
        "name": "pooled",
        "tasks": [{"name": "label", "kind": "classification", "classes": 5}],
        "layers": [
            {"kind": "embed", "height": 16, "width": 16, "patch": 8, "dim": 32, "class_token": "none"},
            {"kind": "norm", "name": "more.norm", "source": "patch_embed", "rows": 4, "columns": 32},
            {
                "kind": "linear",
                "name": "more.in",
                "source": "more.norm",
                "rows": 4,
                "inputs": 32,
                "outputs": 32,
                "finish": {"kind": "residual", "into": "patch_embed", "rows": 4},
                "part": "mlp",
            },
            {"kind": "heads", "pool": "mean"},
        ],
    },
    "pooled",
)


def _design(model: Model, name: str = "zcu102") -> Design:
    on = board(name)
    return Design(model=model, arch=arch_preset(on.arch), board=on)


def test_a_branch_is_what_lies_between_two_changes_of_the_stream():
    found = branches(M3VIT_MICRO.network, "depth")
    assert found["patch_embed"] == "patch_embed"
    for tensor in ("norm1", "query", "key", "value", "scores", "context", "attention"):
        assert found[f"blocks.1.{tensor}"] == "blocks.1.attention"
    for tensor in ("norm2", "gate", "queue_lengths", "moe"):
        assert found[f"blocks.1.{tensor}"] == "blocks.1.moe"
    assert found["blocks.2.hidden"] == "blocks.2.mlp"
    assert found["norm"] == found["heads.depth"] == "heads.depth"
    assert set(found) == set(M3VIT_MICRO.network.tensors("depth"))


def test_any_list_of_layers_has_branches():
    assert isinstance(POOLED, GraphModel)
    found = estimate(_design(POOLED, "sim"))
    assert [(item.name, item.kind) for item in found.shares] == [
        ("patch_embed", "patch_embed"),
        ("more.in", "norm"),
        ("more.in", "mlp"),
        ("heads.label", "norm"),
        ("heads.label", "pool"),
        ("heads.label", "heads"),
    ]


@pytest.mark.parametrize("on", ["sim", "zcu102"])
@pytest.mark.parametrize("name", ["m3vit-micro", "m3vit-tiny", "vit-tiny", "deit-tiny"])
def test_every_cycle_and_every_multiplication_once(name: str, on: str):
    for task in MODELS[name].tasks:
        try:
            found = estimate(_design(MODELS[name], on), task.name)
        except CompileError:
            assert on == "sim", "the small machine takes the small network only"
            continue
        assert sum(item.cycles for item in found.shares) == found.cycles
        assert sum(item.macs for item in found.shares) == found.macs
        assert sum(item.share for item in found.shares) == pytest.approx(1.0)
        assert all(item.cycles >= 0 for item in found.shares)
        kinds = {item.kind for item in found.shares}
        assert {"patch_embed", "norm", "attention", "mlp", "heads"} <= kinds
        assert ({"gates", "experts"} <= kinds) == name.startswith("m3vit")
