"""Bias correction: the mean error of every layer's outputs over the calibration images falls."""

import numpy as np
import pytest

from golden.reference.layers.patches import PIXEL_SCALE
from hwgen.frontend.bias_correction import corrected_bias, mean_input, weight_steps
from hwgen.frontend.calibration import Calibration, calibrate, equalise
from hwgen.frontend.quantise import quantise
from hwgen.frontend.ranges import Ranges
from hwgen.frontend.scaling import quantised_linear
from hwgen.frontend.seeded import seeded_float
from hwgen.spec.package import QuantisedModel
from tests.frontend.shapes import SMALL, noise_image


def test_rows_of_a_layer_get_the_mean_of_the_real_outputs() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((2000, 40)) * 0.3 + rng.uniform(0.5, 1.5, 40)
    weight, bias = rng.standard_normal((3, 24, 40)), rng.standard_normal((3, 24))
    scales = {"in_scale": 0.02, "out_scale": 0.01}
    codes = quantised_linear(weight, bias, **scales)
    mean = np.broadcast_to(rows.mean(axis=0), (3, 40))
    step = weight_steps(codes, **scales)
    real = rows @ weight.swapaxes(1, 2) + bias[:, None]
    errors = []
    for found in (codes["bias"], corrected_bias(codes, weight, bias, mean, **scales)):
        outputs = rows @ (codes["weight"] * step[..., None]).swapaxes(1, 2) + (found * step * 0.02)[:, None]
        errors.append(np.abs((outputs - real).mean(axis=1)).max())
    assert errors[0] > 0.005
    assert errors[1] < 0.02 * errors[0]


@pytest.fixture(scope="module")
def packages() -> tuple[dict[str, np.ndarray], Calibration, QuantisedModel, QuantisedModel]:
    arrays = seeded_float(SMALL, seed=4)
    for name in arrays:
        if "norm" in name and name.endswith(".bias"):
            arrays[name] = arrays[name] + np.float32(0.5)  # inputs of layers with a mean of their own
    images = [noise_image(SMALL, seed) for seed in range(4)]
    equal, seen = equalise(arrays, SMALL, calibrate(arrays, SMALL, images))
    plain = quantise(equal, SMALL, seen, ranges=Ranges())
    return equal, seen, plain, quantise(equal, SMALL, seen, ranges=Ranges(bias_correction=True))


def _scales_around(name: str, package: QuantisedModel) -> tuple[float, float]:
    """Scales of the input and the output of a linear layer."""
    at, layer = name.rsplit(".", 1) if "." in name else ("", name)
    block = at.removesuffix(".experts")
    if layer == "patch_embed":
        return PIXEL_SCALE, package.scales["residual"]
    if at == "heads":
        return package.scales["norm"], package.scales[name]
    source = {"query": "norm1", "value": "norm1", "proj": "context", "fc1": "norm2", "fc2": "hidden"}[layer]
    made = {"query": f"{at}.query", "value": f"{at}.value"}.get(layer, "residual")
    return package.scales[f"{block}.{source}"], 2.0**-11 if layer == "fc1" else package.scales[made]


def _own_bias(name: str, package: QuantisedModel) -> np.ndarray:
    """Bias codes without what they take out of the zero point of the layer's inputs."""
    codes = package.arrays[f"{name}.bias"].astype(np.int64)
    if not name.endswith(".fc2"):
        return codes
    block = name.removesuffix(".fc2").removesuffix(".experts")
    return codes + package.zeros[f"{block}.hidden"] * package.arrays[f"{name}.weight"].sum(axis=-1, dtype=np.int64)


def test_every_layer_of_a_network_is_corrected(packages) -> None:
    arrays, seen, plain, corrected = packages
    layers = [name.removesuffix(".bias") for name in plain.arrays if name.endswith(".bias") and ".scores" not in name]
    compared = 0
    for name in layers:
        mean = mean_input(name, SMALL.network, seen)
        if name.endswith(".key") or ".gate." in name:
            assert not corrected.arrays[f"{name}.bias"].any(), name
            continue
        assert mean is not None, name
        in_scale, out_scale = _scales_around(name, plain)
        step = weight_steps(
            {part: plain.arrays[f"{name}.{part}"] for part in ("mult", "shift")}, in_scale=in_scale, out_scale=out_scale
        )
        weight, bias = (arrays[f"{name}.{part}"].astype(np.float64) for part in ("weight", "bias"))
        errors = []
        for package in (plain, corrected):
            held = package.arrays[f"{name}.weight"] * step[..., None]
            real = ((held - weight) * mean[..., None, :]).sum(axis=-1)
            errors.append(np.abs(real + _own_bias(name, package) * step * in_scale - bias).mean())
        assert errors[1] < 0.2 * errors[0], (name, errors)
        np.testing.assert_array_equal(plain.arrays[f"{name}.weight"], corrected.arrays[f"{name}.weight"])
        compared += 1
    assert compared == 1 + 3 * (3 + 2) + 2
    assert corrected.provenance["bias_correction"] is True
    assert plain.provenance["bias_correction"] is False


def test_means_of_experts_and_heads_are_those_of_the_rows_they_see(packages) -> None:
    arrays, seen, _, _ = packages
    again = calibrate(arrays, SMALL, [noise_image(SMALL, seed) for seed in range(4)])
    assert set(seen.means) == set(again.means)
    for name, mean in seen.means.items():
        np.testing.assert_allclose(mean, again.means[name], rtol=1e-3, atol=1e-4, err_msg=name)
    assert seen.means["blocks.0.experts.fc2"].shape == (SMALL.experts, SMALL.expert_hidden)
    assert np.ptp(seen.means["blocks.0.experts.fc1"], axis=0).max() > 0.01  # experts see tokens of their own
