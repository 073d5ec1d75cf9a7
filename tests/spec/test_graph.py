"""Networks as lists of layers: what a ViT's constructor makes, and which lists are refused."""

from dataclasses import replace

import pytest

from golden.network import run_network
from hwgen.spec.graph import GraphError, Network
from hwgen.spec.layers import Attention, Experts, Gate, Layer, Linear, Norm, Pool, Position, Residual, Rows
from hwgen.spec.model import ModelConfig
from hwgen.spec.presets import M3VIT_MICRO, MODELS
from tests.compiler.programs import CONFIGS
from tests.golden.random_package import random_image, random_package

MICRO = M3VIT_MICRO.network


def changed(name: str, **fields: object) -> tuple[Layer, ...]:
    """The layers of micro, one of them with other fields."""
    layers = tuple(replace(layer, **fields) if layer.name == name else layer for layer in MICRO.layers)
    assert layers != MICRO.layers
    return layers


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_walk_leaves_what_the_golden_network_leaves(config: ModelConfig):
    """Name for name, shape for shape; position table and patches are not compared."""
    if config.depth > 4:
        config = replace(config, depth=2, moe_blocks=tuple(b for b in config.moe_blocks if b < 2))
    package, image = random_package(config), random_image(config)
    for task in config.tasks:
        golden = run_network(package, image, task.name)
        tensors = config.network.tensors(task.name)
        assert set(golden) == set(tensors) - {"position", "patches"}
        for name, values in golden.items():
            assert values.shape == tensors[name].shape, name


@pytest.mark.parametrize("name", MODELS)
def test_every_tensor_is_read_but_the_results(name: str):
    """No layer works for nobody; what follows from logits is read through the queues."""
    network = MODELS[name].network
    for task in network.tasks:
        unread = {tensor for tensor in network.tensors(task) if not network.readers(tensor, task)}
        ends = ("experts", "expert_scores", "queue_lengths", "scores")
        assert {tensor for tensor in unread if not tensor.endswith(ends)} == {f"heads.{task}"}


def test_the_layers_of_micro():
    kinds = [type(layer).__name__ for layer in MICRO.walk("seg")]
    block = ["Norm", "Linear", "Linear", "Linear", "Attention", "Linear", "Norm"]
    dense, moe = [*block, "Linear", "Linear"], [*block, "Linear", "Experts"]
    assert kinds == ["Position", "Patches", "Linear", *dense, *moe, *dense, *moe, "Norm", "Linear"]
    assert len(MICRO.layers) == len(kinds) + 3  # gates and head of the other task
    assert [type(layer) for layer in MICRO.readers("blocks.1.norm2", "depth")] == [Linear, Experts]
    assert [layer.name for layer in MICRO.readers("blocks.1.query", "seg")] == ["blocks.1"]


@pytest.mark.parametrize(
    ("name", "fields", "says"),
    [
        ("blocks.0.proj", {"source": Rows(tensor="blocks.0.value2")}, "blocks.0.proj: reads blocks.0.value2, which no"),
        ("blocks.0.norm1", {"source": Rows(tensor="blocks.0.mlp")}, "reads blocks.0.mlp, which no layer before it"),
        ("heads.seg", {"source": Rows(tensor="norm", first=2, count=64)}, "heads.seg: reads rows 2..65 of norm, which"),
        ("heads.seg", {"source": Rows(tensor="norm", first=65)}, "reads rows 65 of norm, which has 65"),
        ("heads.seg", {"source": Rows(tensor="norm", first=0, count=0)}, "heads.seg: reads rows 0..-1 of norm"),
        ("blocks.0.fc2", {"inputs": 255}, "blocks.0.fc2: takes 255 columns of blocks.0.hidden, which has 256"),
        ("blocks.0.fc2", {"outputs": 63}, "blocks.0.fc2: takes 63 columns of blocks.0.attention, which has 64"),
        ("blocks.0", {"columns": 32}, "blocks.0: takes 32 columns of blocks.0.query, which has 64"),
        ("blocks.1.experts", {"experts": 7}, "takes 7 columns of blocks.1.gate, which has 8"),
        ("blocks.0.fc1", {"rows": 64}, "blocks.0.fc1: works on 64 rows and reads 65 of blocks.0.norm2"),
        ("patch_embed", {"rows": 65}, "patch_embed: works on 65 rows and reads 64 of patches"),
        ("blocks.0", {"keys": 64}, "blocks.0: works on 64 rows and reads 65 of blocks.0.key"),
        ("blocks.0.value", {"writes": "blocks.0.key"}, "blocks.0.value: writes blocks.0.key, which a layer before"),
        (
            "blocks.0.norm2",
            {"source": Rows(tensor="patch_embed")},
            "reads patch_embed, which blocks.0.proj has changed",
        ),
        ("blocks.1.experts", {"into": Rows(tensor="blocks.0.attention")}, "which blocks.0.fc2 has changed in place"),
        ("blocks.2.norm1", {"source": Rows(tensor="blocks.0.mlp")}, "reads blocks.0.mlp, which blocks.1.proj has"),
        ("heads.seg", {"source": Rows(tensor="blocks.3.norm2", first=1)}, "norm: nobody reads norm under task seg"),
        (
            "blocks.0.proj",
            {"finish": Residual(into=Rows(tensor="patch_embed"), rows=64)},
            "blocks.0.proj: leaves [64, 64] of patch_embed, which is [65, 64]",
        ),
    ],
)
def test_lists_that_are_no_network(name: str, fields: dict[str, object], says: str):
    with pytest.raises(GraphError) as found:
        Network(changed(name, **fields), MICRO.tasks)
    assert says in str(found.value)


@pytest.mark.parametrize(
    ("name", "fields", "says"),
    [
        ("blocks.0.norm1", {"task": "sed"}, "blocks.0.norm1: task sed is none of seg, depth"),
        ("heads.seg", {"task": None}, "heads.seg: makes a result; give the task that it belongs to"),
        ("position", {"name": "tables.gelu"}, "tables.gelu: names that begin with tables. or program. are taken"),
        ("position", {"name": "norm.gain"}, "norm: its array norm.gain is that of norm.gain; rename one of them"),
        ("blocks.1.experts", {"codes": "blocks.0.hidden"}, "uses blocks.0.hidden inside, which another layer has"),
        ("blocks.1.experts", {"codes": "norm"}, "norm: writes norm, which blocks.1.experts uses inside"),
    ],
)
def test_names_that_stand_for_two_things(name: str, fields: dict[str, object], says: str):
    layers = tuple(replace(layer, **fields) if layer.name == name else layer for layer in MICRO.layers)
    with pytest.raises(GraphError) as found:
        Network(layers, MICRO.tasks)
    assert says in str(found.value)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a\n"])
def test_names_that_no_file_could_hold(name: str):
    with pytest.raises(ValueError, match="give letters, digits, dots, dashes and underscores"):
        replace(MICRO.layers[0], name=name)


def test_two_layers_of_one_name():
    layers = list(MICRO.layers)
    at = next(number for number, layer in enumerate(layers) if layer.name == "blocks.2.value")
    layers[at] = replace(layers[at], name="blocks.2.key")
    with pytest.raises(GraphError, match=r"^blocks\.2\.key: two tasks have different layers of this name$"):
        Network(tuple(layers), MICRO.tasks)


def test_a_task_has_one_result():
    headless = tuple(layer for layer in MICRO.layers if layer.name != "heads.depth")
    with pytest.raises(GraphError, match="task depth: 0 layers make a result, a task has one"):
        Network(headless, MICRO.tasks)
    assert MICRO.result("seg").name == "heads.seg"
    with pytest.raises(GraphError, match=r"task seg: no layer writes blocks\.0\.moe"):
        MICRO.writer("blocks.0.moe", "seg")


def test_arrays_follow_the_layers():
    first = [name.rpartition(".")[0] for name in MICRO.arrays if not name.startswith("tables")]
    assert list(dict.fromkeys(first))[:6] == ["", "patch_embed", "blocks.0.norm1", "blocks.0.query", "blocks.0.key",
                                              "blocks.0.value"]  # fmt: skip
    layers = {layer.name: layer for layer in MICRO.layers}
    assert isinstance(layers["position"], Position)
    assert isinstance(layers["blocks.0"], Attention)
    assert isinstance(layers["norm"], Norm)
    gate, proj = layers["blocks.3.gate.depth"], layers["blocks.2.proj"]
    assert isinstance(gate, Linear)
    assert gate.finish == Gate(block="blocks.3", top_k=2, renormalise=M3VIT_MICRO.gate_renormalise)
    assert gate.task == "depth"
    assert isinstance(proj, Linear)
    assert proj.finish == Residual(into=Rows(tensor="blocks.1.moe"), rows=65)


def test_a_mean_and_no_class_token():
    """The head reads one row; the patches begin in row 0, and nothing is added to it."""
    plain = MODELS["vit-tiny"]
    config = replace(plain, class_token="none", pool="mean")
    before, network = plain.network, config.network
    assert (config.tokens, plain.tokens, network.rows) == (196, 197, 196)
    assert [layer.name for layer in network.layers if layer.name not in {item.name for item in before.layers}] == [
        "pool"
    ]
    assert network.result("class").source == Rows(tensor="pool", count=1)
    (layer,) = (layer for layer in network.layers if isinstance(layer, Pool))
    assert (layer.source, layer.rows) == (Rows(tensor="norm", first=0, count=196), 196)
    assert set(before.floats) - set(network.floats) == {"class_token"}
    assert set(network.arrays) - set(before.arrays) == {"pool.context.mult", "pool.context.shift"}
    behind = replace(plain, pool="mean").network
    (layer,) = (layer for layer in behind.layers if isinstance(layer, Pool))
    assert layer.source == Rows(tensor="norm", first=1, count=196)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_float_model_has_the_weights_of_the_integers(config: ModelConfig):
    """Every weight in the shape of its codes, a bias but at gates, two arrays a norm, the table and the class token."""
    network = config.network
    wanted = {"class_token": (config.dim,), "position": network.arrays["position"].shape}
    for layer in network.layers:
        if isinstance(layer, Norm):
            shape = network.arrays[f"{layer.name}.gain"].shape
            wanted |= {f"{layer.name}.weight": shape, f"{layer.name}.bias": shape}
    for name, item in network.linears.items():
        parts = ("weight",) if item.part == "gates" else ("weight", "bias")
        wanted |= {f"{name}.{part}": network.arrays[f"{name}.{part}"].shape for part in parts}
    assert network.floats == wanted
    assert network.rows == config.tokens
