"""Plain norms: a network that takes the mean of its residual stream before the last LayerNorm."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from golden.network import run_network
from golden.reference.m3vit_float import FloatModel
from hwgen.compiler.compile import compile_model
from hwgen.frontend.calibration import calibrate, equalise
from hwgen.frontend.exporters.dequantise import dequantise
from hwgen.frontend.m3vit import M3ViT
from hwgen.frontend.quantise import quantise
from hwgen.frontend.ranges import Ranges
from hwgen.frontend.seeded import calibration_images, seeded_float
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.constructors import Block, Builder, Embed
from hwgen.spec.graph_model import GraphModel
from hwgen.spec.isa import Opcode
from hwgen.spec.layers import Norm, Pool, Position, Residual, Result, Rows
from hwgen.spec.model import TaskConfig
from tests.golden.random_package import random_image, random_package
from tests.golden.test_compiled import named_tensors, run

TASK = TaskConfig(name="label", kind="classification", classes=21)


def mean_then_norm(height: int = 32, width: int = 48, dim: int = 40) -> GraphModel:
    """Rows of the residual stream as codes, their mean, a stream of one row, its LayerNorm, a head."""
    to = Builder((TASK,))
    Embed(height=height, width=width, patch=8, dim=dim, class_token="none").add_to(to)
    Block(heads=2, hidden=24).add_to(to)
    rows, columns = to.rows, to.columns
    source = Rows(tensor=to.residual)
    to.add(Norm(name="codes", writes="codes", source=source, rows=rows, columns=columns, plain=True))
    mean = Pool(
        name="pool",
        writes="pool",
        source=Rows(tensor="codes"),
        rows=rows,
        columns=columns,
        values="pool.values",
        scores="pool.scores",
    )
    to.add(mean)
    to.add(Position(name="row", writes="row", rows=1, columns=columns, class_token=False))
    joined = Residual(into=Rows(tensor="row"), rows=1)
    to.linear("mean", "pool", (columns, columns), joined, "heads", rows=1)
    to.norm("fc_norm")
    to.linear("heads.label", "fc_norm", (columns, TASK.classes), Result(), "heads", rows=1, task="label")
    return GraphModel(name="mean-then-norm", layers=tuple(to.layers), tasks=(TASK,))


@pytest.mark.parametrize(("height", "width", "dim"), [(32, 48, 40), (8, 16, 24), (16, 16, 33)])
@pytest.mark.parametrize("name", ["sim", "sim-1x8x8"])
def test_network_and_machine(name: str, height: int, width: int, dim: int) -> None:
    """Every tensor; padded rows, and rows of one patch."""
    config = mean_then_norm(height, width, dim) if dim % 2 == 0 else mean_then_norm(height, width, dim + 1)
    package, image = random_package(config, dim), random_image(config, dim)
    compiled, expected = compile_model(package, ARCHS[name]), run_network(package, image, "label")
    plain = [
        entry.fields.get("plain", 0) for entry in compiled.programs["label"].listing if entry.opcode is Opcode.LAYERNORM
    ]
    assert plain == [0, 0, 1, 0]
    machine, codes = run(compiled, image, "label")
    assert np.array_equal(codes, expected["heads.label"])
    found = named_tensors(compiled, "label", machine)
    for tensor in ("codes", "pool", "mean", "fc_norm"):
        assert np.array_equal(found[tensor], expected[tensor]), tensor
        assert len(np.unique(expected[tensor])) > 10


def test_float_models_take_the_rows_as_they_are_and_codes_follow_them() -> None:
    config = mean_then_norm()
    plain = seeded_float(config)
    plain["codes.weight"] = np.linspace(0.2, 3.0, 40).astype(np.float32)
    plain["mean.weight"], plain["mean.bias"] = np.diag(1 / plain["codes.weight"]), np.zeros(40, np.float32)
    plain["codes.bias"], plain["row"] = np.zeros(40, np.float32), np.zeros((1, 40), np.float32)
    images = calibration_images(config, 6)
    model = FloatModel(plain, config)
    tensors = model.run(images[5], "label")
    stream = next(layer.source.tensor for layer in config.network.layers if layer.name == "codes")
    np.testing.assert_allclose(tensors["codes"], tensors[stream] * plain["codes.weight"], rtol=1e-5)
    np.testing.assert_allclose(tensors["mean"][0], tensors[stream].mean(axis=0), rtol=1e-4, atol=1e-5)
    arrays, seen = equalise(plain, config, calibrate(plain, config, images[:5]))
    np.testing.assert_allclose(
        FloatModel(arrays, config).run(images[5], "label")["mean"], tensors["mean"], rtol=1e-3, atol=1e-4
    )
    package = quantise(arrays, config, seen, ranges=Ranges())
    golden, real = run_network(package, images[5], "label"), FloatModel(arrays, config).run(images[5], "label")
    for name, least in (("codes", 30.0), ("pool", 28.0), ("mean", 28.0), ("heads.label", 20.0)):
        noise = golden[name] * package.scales[name] - real[name]
        assert 10 * np.log10(np.square(real[name]).sum() / np.square(noise).sum()) > least, name
    again = dequantise(package)
    for part in ("weight", "bias"):
        np.testing.assert_allclose(again[f"codes.{part}"], arrays[f"codes.{part}"], rtol=1e-3, atol=1e-3)
    module = M3ViT(config)
    module.load_state_dict({name: torch.from_numpy(np.asarray(array)) for name, array in plain.items()}, strict=True)
    with torch.no_grad():
        found = module.eval()(torch.from_numpy(images[5][None]), "label").numpy()
    np.testing.assert_allclose(found.reshape(-1), tensors["heads.label"].reshape(-1), rtol=1e-3, atol=1e-3)


def test_a_norm_says_in_data_that_it_is_plain() -> None:
    """By default it says nothing, so that packages of today keep their bytes."""
    from hwgen.store.layer_lists import layer_data

    plain = next(layer for layer in mean_then_norm().layers if layer.name == "codes")
    assert layer_data(plain)["plain"] is True
    assert isinstance(plain, Norm)
    assert "plain" not in layer_data(replace(plain, plain=False))
