"""Dequantised weights: half a step from the float weights, the same codes again, and golden's predictions in torch."""

import numpy as np
import pytest
import torch

from golden.network import run_network
from golden.reference.m3vit_float import FloatModel, float_arrays
from golden.reference.scenes import HELD_OUT_FIRST_SEED, draw_scenes
from hwgen.frontend.calibration import calibrate, equalise
from hwgen.frontend.equalisation import combined, equalisation_factors, without_equalisation
from hwgen.frontend.exporters.dequantise import dequantise, weight_steps
from hwgen.frontend.m3vit import M3ViT
from hwgen.frontend.quantise import quantise
from hwgen.frontend.ranges import Ranges
from hwgen.frontend.scaling import multiplier
from hwgen.frontend.seeded import seeded_calibrated, seeded_float
from hwgen.frontend.store import load_float, load_model
from hwgen.spec.package import QuantisedModel
from tests.frontend.shapes import SMALL, noise_image

MULTIPLIER_ERROR = 2.0**-16  # of a multiplier of 16 bits, relative


def _bound(package: QuantisedModel, name: str, real: np.ndarray) -> np.ndarray | float:
    """Half a step of the codes of this array, and what rounding its layer's multiplier moves the codes' steps."""
    layer, part = name.rsplit(".", 1) if "." in name else (name, "")
    slack = MULTIPLIER_ERROR * np.abs(real) + 1e-9
    if name == "position":
        return 0.5 * package.scales["residual"] + slack
    if f"{layer}.gain" in package.arrays:
        unit = package.scales[layer] * 2.0 ** -float(package.arrays[f"{layer}.shift"][0])
        return 0.5 * unit * (2**10 if part == "weight" else 1) + slack
    steps = weight_steps(package, layer)
    if part == "weight":
        return 0.5 * steps[..., None] + slack
    inputs = _input_scale(package, layer)
    return 0.5 * steps * inputs + slack


def _input_scale(package: QuantisedModel, layer: str) -> float:
    """Real value of one input code of a linear layer."""
    scales = package.scales
    names = {"proj": "context", "fc2": "hidden", "fc1": "norm2", "query": "norm1", "value": "norm1"}
    if layer == "patch_embed":
        return 1 / 64
    if layer.startswith("heads."):
        return scales["norm"]
    return scales[".".join(layer.split(".")[:2]) + "." + names[layer.rsplit(".", 1)[1]]]


@pytest.mark.parametrize("network", ["m3vit-micro", "small", "small with zero points"])
def test_every_weight_is_half_a_step_from_the_float_weight(network: str) -> None:
    """Biases, too: what they take out of their inputs' zero points is none of the float model's."""
    if network.startswith("small"):
        source, calibration = seeded_calibrated(SMALL, seed=4)
        package = quantise(source, SMALL, calibration, ranges=Ranges() if "zero" in network else None)
        assert (min(package.zeros.values()) < -80) == ("zero" in network)
    else:
        source, package = load_float(network), load_model(network)
    found = dequantise(package)
    assert {name: array.shape for name, array in found.items()} == float_arrays(package.config)
    checked = 0
    for name, real in source.items():
        if name.endswith("key.bias"):
            assert not found[name].any()
        elif name == "class_token":
            assert not found[name].any()
            np.testing.assert_allclose(
                found["position"][0], real + source["position"][0], atol=0.51 * package.scales["residual"]
            )
        else:
            wanted = real.copy()
            if name == "position":
                wanted[0] += source["class_token"]
            error = np.abs(found[name] - wanted.astype(np.float64))
            assert (error <= _bound(package, name, wanted)).all(), name
            assert found[name].dtype == np.float32
            checked += 1
    assert checked == len(source) - 1 - package.config.depth


def test_codes_are_codes_again() -> None:
    """The step is the machine's: rounding a dequantised weight by it gives the code, exactly."""
    package = load_model("m3vit-micro")
    found = dequantise(package)
    for layer in ("patch_embed", "blocks.0.query", "blocks.1.experts.fc1", "blocks.1.gate.seg", "heads.depth"):
        steps = weight_steps(package, layer)
        codes = found[f"{layer}.weight"] / steps[..., None]
        np.testing.assert_allclose(codes, package.arrays[f"{layer}.weight"], atol=2e-5)
    scales = package.scales
    ratio = weight_steps(package, "blocks.0.proj") * scales["blocks.0.context"] / scales["residual"]
    mult, shift = multiplier(ratio)
    assert np.array_equal(mult, package.arrays["blocks.0.proj.mult"])
    assert np.array_equal(shift, package.arrays["blocks.0.proj.shift"])


def test_the_torch_module_predicts_what_golden_predicts() -> None:
    package = load_model("m3vit-micro")
    model = M3ViT(package.config)
    state = {name: torch.from_numpy(array) for name, array in dequantise(package).items()}
    model.load_state_dict(state, strict=True)
    model.eval()
    scenes = draw_scenes(range(HELD_OUT_FIRST_SEED, HELD_OUT_FIRST_SEED + 6))
    least = {"seg": 28.0, "depth": 42.0}  # decibels; 32.3 and 45.8 on 40 scenes
    for task in package.config.tasks:
        head = f"heads.{task.name}"
        codes = np.stack([run_network(package, scene.image, task.name)[head] for scene in scenes])
        golden = codes * package.scales[head]
        with torch.no_grad():
            real = model(torch.from_numpy(np.stack([scene.image for scene in scenes])), task.name).numpy()
        noise = 10 * np.log10(np.square(real).mean() / np.square(golden - real).mean())
        assert noise > least[task.name], task.name
        if task.name == "seg":
            same = golden.reshape(-1, 5).argmax(axis=1) == real.reshape(-1, 5).argmax(axis=1)
            assert same.mean() > 0.995


def test_equalising_can_be_undone() -> None:
    images = [noise_image(SMALL, seed) for seed in range(2)]
    before = seeded_float(SMALL, seed=2)
    before["blocks.1.norm1.weight"][3] = 0.0  # then the bias says the factor ...
    before["blocks.1.norm1.weight"][4] = before["blocks.1.norm1.bias"][4] = 0.0  # ... or nothing does
    after = equalise(before, SMALL, calibrate(before, SMALL, images))[0]
    factors = equalisation_factors(before, after, SMALL)
    again = without_equalisation(after, SMALL, factors)
    moved = [name for name in before if not np.allclose(before[name], after[name], rtol=1e-3)]
    assert len(moved) > 15
    for name in before:
        if "blocks.1.query" not in name and "blocks.1.key" not in name and "blocks.1.value" not in name:
            np.testing.assert_allclose(again[name], before[name], rtol=2e-6, atol=1e-9, err_msg=name)
    assert factors["blocks.1.norm1"][4] == 1.0
    picture = images[0]
    same = FloatModel(again, SMALL).run(picture, "seg")["heads.seg"]
    np.testing.assert_allclose(FloatModel(before, SMALL).run(picture, "seg")["heads.seg"], same, rtol=1e-4, atol=1e-4)


def test_two_equalisations_are_one() -> None:
    first, then = {"norm": [2.0, 0.5], "blocks.0.norm1": [3.0]}, {"norm": [4.0, 0.25]}
    assert combined(first, then) == {"norm": [8.0, 0.125]}
    assert combined({}, first) == first
