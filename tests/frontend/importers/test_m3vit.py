"""M3ViT's key names: gates, experts and features equal an independent restatement; decoders are the host's."""

from typing import Any

import numpy as np
import pytest
import torch

from golden.reference.m3vit_float import FloatModel
from hwgen.frontend.importers.checkpoint import Checkpoint, CheckpointError
from hwgen.frontend.importers.imported import IMAGENET_MEAN, IMAGENET_STD, Imported, ImportOptions
from hwgen.frontend.importers.m3vit import import_m3vit
from tests.frontend.importers.independent import backbone
from tests.frontend.importers.made import DIM, EXPERTS, HEADS, TASKS, Arrays, as_torch, image, m3vit_state

SIZE = (16, 32)
PIXELS: dict[str, Any] = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}


def _import(arrays: Arrays, **options: Any) -> Imported:
    given = {"heads": HEADS, "image_size": SIZE, "top_k": 2, "features": True, "tasks": TASKS, **options}
    return import_m3vit(Checkpoint("net.pth", arrays), ImportOptions(name="net", **given))


def _features(arrays: Arrays, picture: Any, gate: int, norm: str | None, over_chosen: bool = False) -> Any:
    """What the decoder of a task begins with: the LayerNorm of its patches."""
    state = {name.removeprefix("backbone."): tensor for name, tensor in as_torch(arrays).items()}
    rows = backbone(state, picture, HEADS, gate, 2, over_chosen=over_chosen, **PIXELS)[1:]
    affine = [state[f"{norm}.{name}"].double() for name in ("weight", "bias")] if norm else []
    return torch.nn.functional.layer_norm(rows, (DIM,), *affine, eps=1e-6).numpy()


def test_features_of_every_task_equal_an_independent_restatement() -> None:
    arrays = m3vit_state(5)
    imported = _import(arrays)
    assert imported.config.moe_blocks == (1, 3)
    assert (imported.config.experts, imported.config.top_k, imported.config.gate_renormalise) == (EXPERTS, 2, False)
    outputs = []
    for gate, task in enumerate(TASKS):
        picture = image(*SIZE, seed=gate)
        found = FloatModel(imported.arrays, imported.config).run(picture, task)[f"heads.{task}"]
        np.testing.assert_allclose(
            found, _features(arrays, picture, gate, f"decoders.{task}.norm"), rtol=5e-5, atol=5e-5
        )
        wrong = _features(arrays, picture, 1 - gate, f"decoders.{task}.norm")
        assert np.abs(found - wrong).max() > 1e-2  # the gate of the other task gives something else
        outputs.append(found)
    assert len(outputs) == 2
    assert any("left to the host: 2 arrays" in note for note in imported.notes)


def test_a_bare_backbone_ends_in_a_plain_normalisation() -> None:
    arrays = m3vit_state(6, decoders=False)
    imported = _import({name.removeprefix("backbone."): array for name, array in arrays.items()}, tasks=())
    assert [task.name for task in imported.config.tasks] == ["task0", "task1"]
    picture = image(*SIZE)
    found = FloatModel(imported.arrays, imported.config).run(picture, "task1")["heads.task1"]
    np.testing.assert_allclose(found, _features(arrays, picture, 1, None), rtol=5e-5, atol=5e-5)
    assert any("no final LayerNorm" in note for note in imported.notes)


def test_the_noisy_gate_takes_its_softmax_over_the_chosen_experts() -> None:
    arrays = m3vit_state(7, decoders=False)
    noise = {n.replace("w_gate", "w_noise"): a for n, a in arrays.items() if n.endswith("w_gate")}
    imported = _import(arrays | noise, tasks=())
    assert imported.config.gate_renormalise
    picture = image(*SIZE)
    found = FloatModel(imported.arrays, imported.config).run(picture, "task0")["heads.task0"]
    np.testing.assert_allclose(found, _features(arrays, picture, 0, None, True), rtol=5e-5, atol=5e-5)


def test_one_gate_for_all_tasks() -> None:
    arrays = m3vit_state(8, decoders=False)
    shared = {n.replace("gate.0.", "gate."): a for n, a in arrays.items() if "gate.1." not in n}
    imported = _import(shared, tasks=("a", "b"))
    gates = [imported.arrays[f"blocks.1.gate.{task}.weight"] for task in "ab"]
    assert np.array_equal(*gates)
    assert gates[0].shape == (EXPERTS, DIM)


def _swap(name: str, array: Any) -> Arrays:
    return m3vit_state() | {f"backbone.{name}": array}


ONES = np.ones(DIM, dtype=np.float32)


@pytest.mark.parametrize(
    ("arrays", "options", "says"),
    [
        (
            m3vit_state(),
            {"features": False},
            r"decoders\.semseg\.conv_0\.weight.*: convolutional decoders .*--features",
        ),
        (m3vit_state(), {"tasks": ()}, r"--tasks is needed: .*semseg, depth"),
        (m3vit_state(), {"tasks": ("semseg",)}, r"--tasks semseg: the checkpoint has 2 gates"),
        (m3vit_state(), {"tasks": ("semseg", "x/y")}, r"letters, digits and underscores"),
        (m3vit_state(), {"tasks": ("semseg", "normals")}, r"normals has no decoder"),
        (m3vit_state(), {"top_k": None}, r"--top-k is needed"),
        (m3vit_state(), {"top_k": 7}, r"--top-k 7: must be in 1\.\.6"),
        (m3vit_state(), {"image_size": None}, r"without a row for the class token"),
        (_swap("gate_task_represent.fc1.weight", ONES), {}, r"task features appended to the gate's input"),
        (_swap("blocks.1.mlp.gate.0.w_gate_aux", ONES), {}, r"gates with a second output"),
        (_swap("blocks.1.mlp.experts.htoh4.weight", ONES), {}, r"has shape \[32\], expected \[experts, hidden, dim\]"),
        (_swap("blocks.3.mlp.experts.h4toh.bias", ONES), {}, r"blocks\.3\.mlp\.experts\.h4toh\.bias has shape \[32\]"),
        (m3vit_state() | {"tam_model0.layers0.0.weight": ONES}, {}, r"tam_model0.*task attention module"),
        ({n: a for n, a in m3vit_state().items() if "experts" not in n}, {}, r"no block has experts"),
    ],
)
def test_what_does_not_fit_is_named(arrays: Arrays, options: dict[str, Any], says: str) -> None:
    with pytest.raises(CheckpointError, match=says):
        _import(arrays, **options)
