"""Shapes of networks: what no network has is refused by name, before anything is computed from it."""

from dataclasses import replace
from typing import Any

import pytest

from hwgen.spec.model import TaskConfig
from hwgen.spec.presets import M3VIT_MICRO, MODELS

COUNTED = ("image_height", "image_width", "patch", "dim", "depth", "heads", "mlp_hidden", "channels")


def test_the_presets_are_shapes():
    for config in MODELS.values():
        assert replace(config) == config


@pytest.mark.parametrize("field", COUNTED)
@pytest.mark.parametrize("value", [0, -8, 10**300, 16**5000, 64.0, "64", True, None], ids=range(8))
def test_counts_are_whole_numbers_within_limits(field: str, value: Any):
    with pytest.raises(ValueError, match=rf"^m3vit-micro: {field} = .*: must be a whole number in 1\.\.") as found:
        replace(M3VIT_MICRO, **{field: value})
    assert len(str(found.value)) < 200


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"heads": 3}, "dim 64 is not a multiple of heads 3"),
        ({"image_width": 60}, "image 64x60 is not a multiple of patch 8"),
        ({"moe_blocks": (1, 1)}, r"moe_blocks = \[1, 1\]: must be different whole numbers"),
        ({"moe_blocks": (1.0,)}, r"moe_blocks = \[1\.0\]: must be different whole numbers"),
        ({"moe_blocks": (1, 4)}, r"moe_blocks \(1, 4\) must lie in 0\.\.3"),
        ({"top_k": 0}, r"top_k 0 must be in 1\.\.experts \(8\)"),
        ({"top_k": 9}, r"top_k 9 must be in 1\.\.experts \(8\)"),
        ({"experts": -1}, r"experts = -1: must be a whole number in 0\.\.65536"),
        ({"expert_hidden": 0}, "expert_hidden is zero, and there are moe_blocks"),
        ({"tasks": M3VIT_MICRO.tasks[:1] * 2}, "task names must differ"),
        ({"int4": ("blocks.9.fc1",)}, "int4 must name different linear layers"),
        ({"pool": "max"}, "pool = 'max': there are token, mean"),
        ({"class_token": True}, "class_token = True: there are learned, none"),
        (
            {"class_token": "none", "tasks": (TaskConfig(name="c", kind="classification", classes=3),)},
            "task c reads the class token, and class_token is none; give pool: mean",
        ),
    ],
)
def test_shapes_that_cannot_be(fields: dict[str, Any], says: str):
    with pytest.raises(ValueError, match=f"^m3vit-micro: {says}"):
        replace(M3VIT_MICRO, **fields)


def test_a_name_is_text():
    with pytest.raises(TypeError, match="name = 3: must be text"):
        replace(M3VIT_MICRO, name=3)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": "a b"}, "task 'a b': a name has letters, digits and underscores"),
        ({"name": 1}, "task 1: a name has letters, digits and underscores"),
        ({"kind": "colour"}, "task seg: unknown kind 'colour'; there are segmentation, depth, classification"),
        ({"classes": 0}, r"task seg: classes = 0: must be a whole number in 1\.\.65536"),
        ({"cell": 0}, r"task seg: cell = 0: must be a whole number in 1\.\.65536"),
    ],
)
def test_tasks_that_cannot_be(fields: dict[str, Any], says: str):
    with pytest.raises(ValueError, match=f"^{says}"):
        TaskConfig(**{"name": "seg", "kind": "segmentation", "classes": 5, **fields})
