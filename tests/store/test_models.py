"""Networks in YAML files and in packages: shapes, lists of layers, and what is said about those that are none."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from golden.network import run_network
from hwgen.spec.graph_model import GraphModel
from hwgen.spec.layers import Linear, Pool
from hwgen.spec.model import ModelConfig
from hwgen.spec.package import PackageError
from hwgen.spec.presets import MODELS
from hwgen.store.models import find_model, layers_data, load_model_file, model_data, model_from
from hwgen.store.packages import load_package, save_package
from hwgen.store.strict_yaml import ConfigError
from tests.compiler.programs import CONFIGS
from tests.golden.random_package import MINI, random_image, random_package

LIST = """
tasks:
  - {name: class, kind: classification, classes: 10}
  - {name: depth, kind: depth, classes: 1, cell: 2}
layers:
  - {kind: embed, height: 16, width: 32, patch: 8, dim: 32, class_token: none}
  - {kind: block, repeat: 2, heads: 2, hidden: 64}
  - {kind: moe_block, heads: 4, experts: 3, top_k: 2, hidden: 24, renormalise: true}
  - {kind: heads, pool: mean}
int4: [blocks.1.fc1, blocks.2.experts.fc2]
"""
SAME = replace(
    MINI,
    name="mine",
    image_width=32,
    moe_blocks=(),
    experts=0,
    top_k=0,
    expert_hidden=0,
    class_token="none",
    pool="mean",
)


def written(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def refused(folder: Path, text: str, says: str) -> None:
    """The message names the file, the place and what is wrong."""
    path = written(folder, text)
    with pytest.raises(ConfigError) as found:
        load_model_file(path)
    assert str(found.value).startswith(f"{path}: ")
    assert says in str(found.value)
    assert len(str(found.value)) < 2000


def as_graph(config: ModelConfig) -> GraphModel:
    """The same network as the list of its layers."""
    layers = tuple(config.wide_layers())
    return GraphModel(name=config.name, layers=layers, tasks=config.tasks, int4=config.int4)


def test_a_list_of_constructors(tmp_path: Path):
    model = load_model_file(written(tmp_path, LIST))
    assert isinstance(model, GraphModel)
    assert (model.name, [task.name for task in model.tasks]) == ("mine", ["class", "depth"])
    assert (model.image_height, model.image_width, model.channels, model.patches) == (16, 32, 3, 8)
    names = [layer.name for layer in model.network.walk("class")]
    assert names[:3] == ["position", "patches", "patch_embed"]
    assert names[-3:] == ["norm", "pool", "heads.class"]
    assert [name for name in names if name.endswith("norm1")] == [f"blocks.{n}.norm1" for n in range(3)]
    assert {name for name, item in model.network.linears.items() if item.format.bits == 4} == set(model.int4)


def test_constructors_make_what_a_shape_makes(tmp_path: Path):
    """The same layers, so the same arrays, programs and tensors."""
    text = LIST.replace("  - {kind: moe_block, heads: 4, experts: 3, top_k: 2, hidden: 24, renormalise: true}\n", "")
    model = load_model_file(written(tmp_path, text.replace("int4: [blocks.1.fc1, blocks.2.experts.fc2]\n", "")))
    assert model.network == replace(SAME, tasks=model.tasks).network


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_list_of_layers_is_the_network(config: ModelConfig):
    """Through plain data and back: every layer of every network."""
    graph = as_graph(config)
    data = json.loads(json.dumps(model_data(graph)))
    again = model_from(data, "it")
    assert again == graph
    assert again.network == config.network
    assert layers_data(config) == data["layers"]


@pytest.mark.parametrize("name", ["m3vit-micro", "vit-tiny"])
def test_a_shape_in_a_file(tmp_path: Path, name: str):
    model = load_model_file(written(tmp_path, f"base: {name}\nmlp_hidden: 96\n"))
    assert model == replace(MODELS[name], name="mine", mlp_hidden=96)
    assert find_model(name) == MODELS[name]


def test_the_guest_in_a_file(tmp_path: Path):
    model = load_model_file(written(tmp_path, "base: vit-tiny\nclass_token: none\npool: mean\n"))
    assert isinstance(model, ModelConfig)
    assert model.tokens == 196
    assert any(isinstance(layer, Pool) for layer in model.network.layers)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("base: vit-tini", "base: unknown model 'vit-tini'; did you mean 'vit-tiny'?"),
        ("base: vit-tiny\nname: vit-tiny", "name vit-tiny is that of a preset; give another"),
        ("base: vit-tiny\npol: mean", "unknown key 'pol'; did you mean 'pool'?"),
        ("base: vit-tiny\npool: max", "mine: pool = 'max': there are token, mean"),
        ("base: vit-tiny\nclass_token: none", "task class reads the class token, and class_token is none"),
        ("base: vit-tiny\ndim: 190", "mine: dim 190 is not a multiple of heads 3"),
        ("base: vit-tiny\ndim: '192'", "mine: dim = '192': must be a whole number in 1..65536"),
        ("base: vit-tiny\ngate_renormalise: 1", "gate_renormalise = 1: give true or false"),
        ("base: vit-tiny\nmoe_blocks: 3", "moe_blocks = 3: give a list"),
        ("base: vit-tiny\ntasks: []", "tasks is empty; a network has one or more"),
        ("base: vit-tiny\ntasks: {a: 1}", "tasks is {'a': 1}; a network has one or more"),
        ("base: vit-tiny\ntasks: [class]", "tasks.0 = 'class': give name, kind and classes"),
        ("base: vit-tiny\ntasks: [{name: c, kind: depth}]", "tasks.0: classes: missing; add it"),
        ("base: vit-tiny\ntasks: [{name: c, kid: depth}]", "tasks.0: unknown key 'kid'; did you mean 'kind'?"),
        (
            "base: vit-tiny\ntasks: [{name: a, kind: depth, classes: 60000, cell: 60000}]",
            "heads.a: outputs = 216000000000000: must be a whole number in 1..65536",
        ),
        ("dim: 192", "tasks is missing; a network has one or more"),
        ("base: vit-tiny\nlayers: []", "base and layers: give one of them"),
        (LIST + "depth: 3\n", "unknown key 'depth' beside layers (known: name, tasks, layers, int4)"),
        (
            "tasks: [{name: c, kind: depth, classes: 1}]\nlayers: 1",
            "layers: give a list, each item with its kind (em",
        ),
    ],
)
def test_what_is_no_network(tmp_path: Path, text: str, says: str):
    refused(tmp_path, text, says)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("moe_block", "mob_block", "layers.2: unknown kind 'mob_block'; did you mean 'moe_block'?"),
        ("kind: block, ", "", "layers.1: key 'kind' is missing; add it (known: embed, block,"),
        ("heads: 2, hidden", "head: 2, hidden", "layers.1 (block): unknown key 'head'; did you mean"),
        ("hidden: 64", "hidden: '64'", "layers.1 (block): hidden = '64': must be a whole number"),
        ("dim: 32", "dim: true", "layers.0 (embed): dim = True: must be a whole number"),
        ("  - {kind: embed, height: 16, width: 32, patch: 8, dim: 32, class_token: none}\n", "", "put embed before it"),
        ("[blocks.1.fc1, ", "[[blocks.1.fc1], ", "int4: ['blocks.1.fc1'] in it is no single value"),
        ("classes: 10", "1: 10", "tasks.0: unknown key '1'"),
        ("repeat: 2", "repeat: 0", "layers.1: repeat = 0: must be a whole number in 1..4096"),
        ("repeat: 2", "repeat: 4096", "layers.1: more than 4096 parts in all"),
        ("top_k: 2", "top_k: 4", "blocks.2.gate.class: top_k 4 must be in 1..experts (3)"),
        ("width: 32", "width: 20", "patches: image 16x20 is not a multiple of patch 8"),
        ("  - {kind: heads, pool: mean}\n", "", "task class: 0 layers make a result, a task has one"),
        ("pool: mean", "pool: token", "heads.class: reads the class token, and there is none"),
        ("blocks.1.fc1", "blocks.1.fc3", "int4 must name different linear layers, got ['blocks.1.fc3']"),
        (
            "kind: heads, pool: mean",
            "kind: linear, name: x, fnish: codes",
            "layers.3 (linear): unknown key 'fnish'",
        ),
        (
            "kind: heads, pool: mean",
            "kind: linear, finish: gela",
            "layers.3 (linear): finish: unknown kind 'gela'",
        ),
        ("kind: heads, pool: mean", "kind: linear, format: x", "(linear): format: list four-bit layers under int4 of"),
    ],
)
def test_lists_that_are_no_network(tmp_path: Path, old: str, new: str, says: str):
    assert old in LIST
    refused(tmp_path, LIST.replace(old, new), says)


def test_a_layer_by_itself(tmp_path: Path):
    """A second linear layer in a block of its own: codes of all tokens, which join the residual stream again."""
    text = LIST.replace("int4: [blocks.1.fc1, blocks.2.experts.fc2]\n", "").replace(
        "  - {kind: heads",
        """\
  - {kind: norm, name: more.norm, source: blocks.2.moe, rows: 8, columns: 32}
  - {kind: linear, name: more.in, source: more.norm, rows: 8, inputs: 32, outputs: 48, finish: gelu, part: mlp}
  - kind: linear
    name: more.out
    source: more.in
    rows: 8
    inputs: 48
    outputs: 32
    finish: {kind: residual, into: blocks.2.moe, rows: 8}
    part: mlp
  - {kind: heads""",
    )
    model = load_model_file(written(tmp_path, text))
    layers = {layer.name: layer for layer in model.network.layers}
    assert isinstance(layers["more.out"], Linear)
    assert [rows.tensor for rows in layers["norm"].reads()] == ["more.out"]
    tensors = run_network(random_package(model), random_image(model), "class")
    assert tensors["more.out"].shape == (8, 32)
    assert (tensors["more.out"] != tensors["blocks.2.moe"]).any()


def _manifest(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    with safe_open(path, framework="numpy") as handle:
        return json.loads(handle.metadata()["hwgen"]), {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118


@pytest.mark.parametrize("described", [lambda: MINI, lambda: as_graph(MINI)], ids=["shape", "list"])
def test_a_package_holds_its_layers(tmp_path: Path, described: Callable[[], Any]):
    model = described()
    path = tmp_path / "net.safetensors"
    save_package(random_package(model), path)
    manifest, arrays = _manifest(path)
    assert [item["name"] for item in manifest["layers"]] == [layer.name for layer in MINI.network.layers]
    again = load_package(path)
    assert again.config == model
    assert np.array_equal(again.arrays["norm.gain"], arrays["norm.gain"])
    manifest["layers"][0]["rows"] += 1
    save_file(arrays, path, metadata={"hwgen": json.dumps(manifest)})
    with pytest.raises(PackageError, match=r"layers are not those of its config|manifest's config is damaged"):
        load_package(path)


def test_a_package_of_version_1(tmp_path: Path):
    """Without layers: they follow from the shape."""
    path = tmp_path / "net.safetensors"
    save_package(random_package(MINI), path)
    manifest, arrays = _manifest(path)
    old = {name: value for name, value in manifest.items() if name != "layers"} | {"version": 1}
    for field in ("class_token", "pool", "int4"):
        del old["config"][field]
    save_file(arrays, path, metadata={"hwgen": json.dumps(old)})
    assert load_package(path).config == MINI
