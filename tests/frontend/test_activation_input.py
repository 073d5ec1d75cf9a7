"""How far the input of the activation function reaches, and what a package says of it."""

from dataclasses import replace

import numpy as np
import pytest

from golden.network import run_network
from golden.reference.m3vit_float import run_float
from hwgen.frontend.activation_input import INPUT, input_limit, input_scale, output_scale, stretch_notes, stretch_of
from hwgen.frontend.calibration import calibrate
from hwgen.frontend.exporters.dequantise import dequantise
from hwgen.frontend.quantise import quantise
from hwgen.frontend.scaling import FloatArray
from hwgen.frontend.seeded import seeded_float
from hwgen.frontend.sensitivity import decibels
from hwgen.spec.activations import FUNCTIONS
from hwgen.spec.model import ModelConfig
from hwgen.spec.tables import gelu_table
from tests.frontend.shapes import SMALL, noise_image

HIDDEN = ("blocks.0.expert_hidden", "blocks.1.hidden")


def _loud(config: ModelConfig, gain: float) -> dict[str, FloatArray]:
    """A network whose hidden units are ``gain`` times as large, and the weights behind them as much smaller."""
    arrays = seeded_float(config)
    for name, array in arrays.items():
        if ".fc1." in name:
            arrays[name] = (array * gain).astype(np.float32)
        elif name.endswith(".fc2.weight"):
            arrays[name] = (array / gain).astype(np.float32)
    return arrays


def _decibels(arrays: dict[str, FloatArray], config: ModelConfig) -> tuple[float, dict[str, float]]:
    """Agreement of golden with the float model at the class head, and the scales of the package."""
    image = noise_image(config)
    package = quantise(arrays, config, calibrate(arrays, config, [image]))
    real = run_float(arrays, config, image, "class")["heads.class"]
    found = run_network(package, image, "class")["heads.class"] * package.scales["heads.class"]
    return decibels(float(np.square(real).sum()), float(np.square(real - found).sum())), dict(package.scales)


def test_the_layer_that_reaches_furthest_decides() -> None:
    found = calibrate(seeded_float(SMALL), SMALL, [noise_image(SMALL)])
    for largest, stretch in ((15.9, 0), (16.0, 0), (16.1, 1), (32.0, 1), (55.0, 2), (256.0, 4), (1000.0, 4)):
        samples = {name: rows.copy() for name, rows in found.samples.items()}
        samples["blocks.1.hidden"][0, 0] = largest
        samples["blocks.1.query"][0, 0] = 1e6  # not behind the function
        assert stretch_of(SMALL.network, samples) == stretch, largest
        silu = replace(SMALL, activation="silu").network
        assert stretch_of(silu, samples) == max(stretch, 1)


def test_what_is_stretched_or_cut_is_noted_by_the_name_of_the_codes() -> None:
    found = calibrate(seeded_float(SMALL), SMALL, [noise_image(SMALL)])
    assert stretch_notes(SMALL.network, found.samples) == []
    assert stretch_notes(replace(SMALL, activation="silu").network, found.samples) == []
    loud = {name: rows.copy() for name, rows in found.samples.items()}
    loud["blocks.0.expert_hidden"][0, 0] = 55.0
    assert stretch_notes(SMALL.network, loud) == [
        "blocks.0.hidden reaches 55.0 in calibration: the input of the activation function ends at 64, in steps of"
        " 4/2048"
    ]
    loud["blocks.1.hidden"][0, 0] = 300.0
    assert stretch_notes(SMALL.network, loud) == [
        "blocks.1.hidden reaches 300.0 in calibration; its input is cut at 256"
    ]


def test_a_stretched_network_follows_its_float_model_where_a_cut_one_would_not() -> None:
    plain, scales = _decibels(_loud(SMALL, 1.0), SMALL)
    assert INPUT not in scales
    loud, wide = _decibels(_loud(SMALL, 12.0), SMALL)
    assert wide[INPUT] == 2.0**-9
    assert (input_scale(wide), input_limit(wide), output_scale(wide)) == (2.0**-9, 64.0, 2.0**-14)
    assert loud > plain - 3.0
    arrays, image = _loud(SMALL, 12.0), noise_image(SMALL)
    calibration = calibrate(arrays, SMALL, [image])
    quiet = {name: np.minimum(rows, 16.0) if name in HIDDEN else rows for name, rows in calibration.samples.items()}
    quiet["blocks.2.expert_hidden"] = np.minimum(quiet["blocks.2.expert_hidden"], 16.0)
    cut = quantise(arrays, SMALL, replace(calibration, samples=quiet))
    real = run_float(arrays, SMALL, image, "class")["heads.class"]
    found = run_network(cut, image, "class")["heads.class"] * cut.scales["heads.class"]
    assert decibels(float(np.square(real).sum()), float(np.square(real - found).sum())) < loud - 3.0


@pytest.mark.parametrize("function", list(FUNCTIONS))
def test_every_function_is_what_the_float_model_computes(function: str) -> None:
    """As near to it as GELU is; each with its own table in the package."""
    config = replace(SMALL, activation=function)
    found, scales = _decibels(_loud(config, 3.0), config)
    usual, _ = _decibels(_loud(SMALL, 3.0), SMALL)
    assert found > usual - 2.0
    arrays, image = _loud(config, 3.0), noise_image(config)
    package = quantise(arrays, config, calibrate(arrays, config, [image]))
    stretch = round(np.log2(input_scale(scales) * 2**11))
    assert (package.arrays["tables.gelu"] == gelu_table(function=function, stretch=stretch)).all()
    other = run_float(arrays, replace(SMALL, activation="relu" if function != "relu" else "gelu"), image, "class")
    real = run_float(arrays, config, image, "class")["heads.class"]
    wrong = other["heads.class"]
    assert decibels(float(np.square(real).sum()), float(np.square(real - wrong).sum())) < found


def test_a_package_knows_the_steps_of_stretched_weights() -> None:
    arrays = _loud(SMALL, 12.0)
    package = quantise(arrays, SMALL, calibrate(arrays, SMALL, [noise_image(SMALL)]))
    found = dequantise(package)
    for name in ("blocks.1.fc1.weight", "blocks.0.experts.fc1.weight"):
        assert np.abs(found[name] - arrays[name]).max() <= np.abs(arrays[name]).max() / 127
