"""Exports under the names of timm and M3ViT: half a step from the imported checkpoint, and golden's predictions."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from golden.network import run_network
from golden.reference.m3vit_float import FloatModel
from hwgen.frontend.exporters.dequantise import float_weights, weight_steps
from hwgen.frontend.exporters.states import FORMATS, State, format_of, pixels_of
from hwgen.frontend.importers.checkpoint import Checkpoint
from hwgen.frontend.importers.convert import convert
from hwgen.frontend.importers.imported import IMAGENET_MEAN, IMAGENET_STD, ImportOptions
from hwgen.frontend.importers.m3vit import import_m3vit
from hwgen.frontend.importers.own import import_own, own_metadata
from hwgen.frontend.importers.timm import import_timm
from hwgen.frontend.seeded import seeded_package
from hwgen.spec.package import PackageError, QuantisedModel
from tests.frontend.importers.independent import backbone, classify
from tests.frontend.importers.made import DIM, HEADS, TASKS, Arrays, as_torch, image, m3vit_state, timm_state
from tests.frontend.shapes import SMALL

PIXELS: dict[str, Any] = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
SIZE = (16, 32)


def _timm_package(arrays: Arrays) -> QuantisedModel:
    options = ImportOptions(name="net", heads=HEADS, **PIXELS)
    imported = import_timm(Checkpoint("net", arrays), options)
    return convert(imported, [image(32, 32, seed) for seed in range(4)], {"import": "timm"}).package


def _m3vit_package(arrays: Arrays) -> QuantisedModel:
    options = ImportOptions(name="net", heads=HEADS, image_size=SIZE, tasks=TASKS, top_k=2, features=True)
    imported = import_m3vit(Checkpoint("net", arrays), options)
    return convert(imported, [image(*SIZE, seed) for seed in range(4)], {"import": "m3vit"}).package


def _state(package: QuantisedModel, form: str) -> State:
    weights = float_weights(package)
    assert format_of(package.config, weights, None) == form
    return FORMATS[form].state(weights, package.config, pixels_of(package, form))


def _decibels(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(10 * np.log10(np.square(wanted).mean() / np.square(found - wanted).mean()))


def _steps(package: QuantisedModel, layer: str, norm: str | None) -> np.ndarray:
    """Steps of the weights [.., out, in] of a layer; behind a LayerNorm they are finer where it was equalised."""
    steps = weight_steps(package, layer)[..., None]
    return steps / np.asarray(package.provenance["equalisation"][norm]) if norm else steps


# exported array (a part of it) -> the package's layer and the LayerNorm before it
TIMM = {
    "blocks.1.attn.qkv.weight": ("blocks.1.query", "blocks.1.norm1"),
    "blocks.0.attn.proj.weight": ("blocks.0.proj", None),
    "blocks.2.mlp.fc1.weight": ("blocks.2.fc1", "blocks.2.norm2"),
    "blocks.3.mlp.fc2.weight": ("blocks.3.fc2", None),
    "head.weight": ("heads.class", "norm"),
}
M3VIT = {
    "backbone.blocks.0.attn.qkv.weight": ("blocks.0.query", "blocks.0.norm1"),
    "backbone.blocks.1.mlp.experts.htoh4.weight": ("blocks.1.experts.fc1", "blocks.1.norm2"),
    "backbone.blocks.3.mlp.experts.h4toh.weight": ("blocks.3.experts.fc2", None),
    "backbone.blocks.2.mlp.fc1.weight": ("blocks.2.fc1", "blocks.2.norm2"),
}


def _check_steps(
    package: QuantisedModel, state: State, source: Arrays, table: dict[str, tuple[str, str | None]]
) -> None:
    for name, (layer, norm) in table.items():
        steps = _steps(package, layer, norm)
        rows = steps.shape[-2]
        found, wanted = (array[..., :rows, :] for array in (state[name], source[name]))
        error = np.abs(found - wanted.astype(np.float64))
        assert (error <= 0.5 * steps + 2e-5 * np.abs(wanted) + 1e-7).all(), name
        assert (error > 0.2 * steps).mean() > 0.3, name  # rounding, not a copy


def test_timm_names_weights_and_predictions() -> None:
    source = timm_state(3)
    package = _timm_package(source)
    state = _state(package, "timm")
    assert {name: array.shape for name, array in state.items()} == {n: a.shape for n, a in source.items()}
    _check_steps(package, state, source, TIMM)
    patch = weight_steps(package, "patch_embed")[:, None, None, None] / 64 * 255 * np.reshape(IMAGENET_STD, (3, 1, 1))
    error = np.abs(state["patch_embed.proj.weight"] - source["patch_embed.proj.weight"])
    assert (error <= 0.501 * patch).all()
    for norm in ("blocks.0.norm1", "blocks.3.norm2", "norm"):
        np.testing.assert_allclose(state[f"{norm}.weight"], source[f"{norm}.weight"], rtol=2e-3)
    assert not state["blocks.0.attn.qkv.bias"][DIM : 2 * DIM].any()  # keys: softmax does not see it
    compared = 0
    for seed in range(10, 14):
        picture = image(32, 32, seed)
        golden = run_network(package, picture, "class")["heads.class"] * package.scales["heads.class"]
        assert _decibels(golden, classify(as_torch(state), picture, HEADS, **PIXELS)) > 22
        compared += golden.size
    assert compared == 40


def test_m3vit_names_weights_and_predictions() -> None:
    source = m3vit_state(5)
    package = _m3vit_package(source)
    state = _state(package, "m3vit")
    kept = {name: array.shape for name, array in source.items() if ".conv" not in name}
    assert {name: array.shape for name, array in state.items()} == kept
    _check_steps(package, state, source, M3VIT)
    for task, name in enumerate(TASKS):
        norm = f"decoders.{name}.norm"
        np.testing.assert_allclose(state[f"{norm}.weight"], source[f"{norm}.weight"], rtol=0.01)
        gate = f"backbone.blocks.1.mlp.gate.{task}.w_gate"
        np.testing.assert_allclose(state[gate], source[gate], atol=0.01)
    bare = {name.removeprefix("backbone."): tensor for name, tensor in as_torch(state).items()}
    picture = image(*SIZE, seed=9)
    rows = backbone(bare, picture, HEADS, 1, 2, **PIXELS)[1:].numpy()
    normal = (rows - rows.mean(axis=1, keepdims=True)) / rows.std(axis=1, keepdims=True)
    features = normal * state["decoders.depth.norm.weight"] + state["decoders.depth.norm.bias"]
    golden = run_network(package, picture, "depth")["heads.depth"] * package.scales["heads.depth"]
    assert _decibels(golden, features) > 15  # a token that takes another expert costs much


def test_gates_that_renormalise_are_known_by_their_noise() -> None:
    source = m3vit_state(7)
    noise = {name.replace("w_gate", "w_noise"): array for name, array in source.items() if name.endswith("w_gate")}
    package = _m3vit_package(source | noise)
    assert package.config.gate_renormalise
    state = _state(package, "m3vit")
    assert sum(name.endswith("w_noise") for name in state) == len(noise) == 4
    options = FORMATS["m3vit"].options(package.config, pixels_of(package, "m3vit"))
    assert import_m3vit(Checkpoint("again", state), options).config == package.config


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ("timm", r"small cannot be named so: blocks \[0, 2\] have experts"),
        ("m3vit", "its task seg ends in a linear head"),
    ],
)
def test_a_format_that_cannot_name_a_network_is_refused(form: str, says: str) -> None:
    package = seeded_package(SMALL, 1)
    weights = float_weights(package)
    assert format_of(SMALL, weights, None) == "hwgen"
    with pytest.raises(PackageError, match=says):
        format_of(SMALL, weights, form)


def test_a_dense_network_of_two_tasks_is_no_timm_network() -> None:
    config = replace(SMALL, moe_blocks=(), experts=0, top_k=0)
    weights = float_weights(seeded_package(config, 1))
    for form, says in (("timm", "it has the tasks seg"), ("m3vit", "no block has experts")):
        with pytest.raises(PackageError, match=says):
            format_of(config, weights, form)


@pytest.mark.parametrize("changes", [{"pool": "mean"}, {"pool": "mean", "class_token": "none"}])
def test_a_mean_of_patches_is_named_by_our_names_alone(changes: dict[str, Any]) -> None:
    """There a class token is read; ours say in their metadata what is."""
    config = replace(SMALL, moe_blocks=(), experts=0, top_k=0, tasks=SMALL.tasks[1:], **changes)
    package = seeded_package(config, 1)
    weights = float_weights(package)
    with pytest.raises(PackageError, match="it has no class token, or its head reads the mean of the patches"):
        format_of(config, weights, "timm")
    assert format_of(config, weights, None) == "hwgen"
    checkpoint = Checkpoint("again", _state(package, "hwgen"), metadata=own_metadata(config))
    again = import_own(checkpoint, ImportOptions(name=config.name))
    assert again.config == config
    picture = image(config.image_height, config.image_width, 2)
    old, new = (FloatModel(arrays, config).run(picture, "class")["heads.class"] for arrays in (weights, again.arrays))
    assert np.array_equal(old, new)


@pytest.mark.parametrize(
    ("name", "value", "plain"),
    [
        ("activation", "relu", "gelu"),
        ("epsilon", 1e-5, 1e-6),
        ("registers", 2, 0),
        ("class_token", "distilled", "learned"),
    ],
)
def test_what_bare_arrays_would_be_taken_for_is_not_written(name: str, value: Any, plain: Any) -> None:
    """An import of arrays under timm's names assumes a plain network: another one would come back changed."""
    package = _timm_package(timm_state())
    weights = float_weights(package)
    config = replace(package.config, **{name: value})  # pyright: ignore[reportArgumentType]
    with pytest.raises(PackageError, match=f"{name} is {value}, and arrays under these names are read as {plain}"):
        format_of(config, weights, "timm")
    assert format_of(config, weights, None) == "hwgen"
    package = _m3vit_package(m3vit_state())
    weights = float_weights(package)
    config = replace(package.config, **{name: value})  # pyright: ignore[reportArgumentType]
    assert format_of(package.config, weights, None) == "m3vit"
    assert format_of(config, weights, None) == "hwgen"
