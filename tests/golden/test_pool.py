"""The mean of rows as attention of equal scores: how near it is, and a network of a trained one's shape."""

from dataclasses import replace

import numpy as np
import pytest

from golden.attention import context
from golden.layers.forward import Forward
from golden.layers.pool import run as pool
from golden.network import run_network
from golden.reference.m3vit_float import FloatModel
from hwgen.compiler.compile import compile_model
from hwgen.frontend.calibration import calibrate, equalise
from hwgen.frontend.quantise import quantise
from hwgen.frontend.seeded import calibration_images, seeded_float
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.layers import Pool, Rows
from hwgen.spec.presets import MODELS
from hwgen.spec.tables import default_tables
from tests.golden.random_package import random_image, random_package
from tests.golden.test_compiled import named_tensors, run

TABLES = {name: table.astype(np.int64) for name, table in default_tables().items()}
MOST_ROWS = 256
# ViT-Ti/16 at 224 pixels as it is trained with global average pooling: no class token, the mean of 196 patches.
TRAINED = replace(MODELS["vit-tiny"], name="vit-tiny-gap", class_token="none", pool="mean")


def mean(rows: np.ndarray, mult: int = 2**15, shift: int = 15) -> np.ndarray:
    """int8 mean of rows at the scale ``mult * 2^-shift``."""
    scores = np.zeros((1, len(rows)), np.int64)
    return context(TABLES["exp2"], TABLES["reciprocal"], scores, rows, np.array([mult]), np.array([shift]))[0]


@pytest.mark.parametrize("rows", [*range(1, 18), 49, 64, 65, 195, 196, 197, 255, MOST_ROWS])
def test_within_half_a_code(rows: int):
    """The next code is the mean, or the two next ones are as near to within the error of the reciprocal."""
    rng = np.random.default_rng(rows)
    codes = rng.integers(-127, 128, (rows, 512))
    codes[:, 0], codes[:, 1] = 127, -127
    off = np.abs(mean(codes) - codes.mean(axis=0))
    assert off.max() <= 0.5 + 127 * 2.0**-12
    assert off[:2].max() == 0.0


def test_a_finer_scale():
    """Four codes for one: the mean of many rows is small, and has a scale of its own."""
    codes = np.random.default_rng(0).integers(-30, 31, (100, 64))
    off = np.abs(mean(codes, 2**15, 13) - 4 * codes.mean(axis=0))
    assert 0.4 < off.max() <= 0.51


def test_some_rows():
    """The rows that are not read do not matter."""
    config = replace(TRAINED, depth=1)
    package = random_package(config)
    layer = Pool(
        name="pool",
        writes="pool",
        source=Rows(tensor="rows", first=1, count=3),
        rows=3,
        columns=2,
        values="values",
        scores="scores",
    )
    forward = Forward(package, config.network, "class", random_image(config))
    forward.tensors["rows"] = np.array([[90, 90], [1, 10], [2, 20], [3, 30], [-90, 70]])
    pool(forward, layer)
    assert forward.tensors["values"].tolist() == [[1, 10], [2, 20], [3, 30]]
    assert forward.tensors["scores"].tolist() == [[[0, 0, 0]]]
    factor = package.arrays["pool.context.mult"][0] / 2.0 ** package.arrays["pool.context.shift"][0]
    assert forward.tensors["pool"].tolist() == [[round(2 * factor), 127]]


@pytest.mark.parametrize("arch", ["zcu102", "zcu102-8x16x32"])
def test_the_shape_of_a_trained_network(arch: str):
    """Every tensor of the whole network on the golden machine, at the size at which such networks are trained."""
    package, image = random_package(TRAINED), random_image(TRAINED)
    compiled = compile_model(package, ARCHS[arch])
    expected = run_network(package, image, "class")
    machine, codes = run(compiled, image, "class")
    assert np.array_equal(codes, expected["heads.class"])
    found = named_tensors(compiled, "class", machine)
    assert sorted(found) == sorted(expected)
    assert (expected["pool.values"].shape, expected["pool"].shape) == ((196, 192), (1, 192))
    for name, tensor in expected.items():
        assert np.array_equal(found[name], tensor), name


def test_the_mean_keeps_its_accuracy():
    """Calibrated and quantised like any tensor: at least as good as the LayerNorm that it averages."""
    config = replace(TRAINED, depth=2, image_height=64, image_width=96)
    plain = seeded_float(config)
    images = calibration_images(config, 5)
    arrays, calibration = equalise(plain, config, calibrate(plain, config, images[:4]))
    package = quantise(arrays, config, calibration)
    golden = run_network(package, images[4], "class")
    real = FloatModel(arrays, config).run(images[4], "class")
    same = FloatModel(plain, config).run(images[4], "class")["heads.class"]
    assert np.allclose(real["heads.class"], same, rtol=1e-4, atol=1e-4 * np.abs(same).max())
    db: dict[str, float] = {}
    for name in ("norm", "pool.values", "pool", "heads.class"):
        noise = golden[name] * package.scales[name] - real[name]
        db[name] = 10 * float(np.log10(np.square(real[name]).sum() / np.square(noise).sum()))
    assert package.scales["pool"] < package.scales["norm"]
    assert db["pool.values"] == db["norm"]
    assert db["pool"] > db["norm"] > 25
    assert db["heads.class"] > 25
