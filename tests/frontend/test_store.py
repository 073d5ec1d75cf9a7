"""Models by name: shipped files, seeded packages, and what is said about bad ones."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hwgen.frontend import store
from hwgen.frontend.calibration import calibrate
from hwgen.frontend.quantise import quantise
from hwgen.frontend.seeded import calibration_images, seeded_package
from hwgen.spec.package import PackageError
from hwgen.spec.presets import M3VIT_MICRO, M3VIT_TINY
from hwgen.store.packages import load_package, save_package
from tests.frontend.shapes import SMALL, noise_image


def test_shipped_weights_meet_the_quality_and_the_size() -> None:
    info = store.float_info("m3vit-micro")
    assert store.float_path("m3vit-micro").stat().st_size <= 2_000_000
    assert info["miou"] >= 0.75
    assert info["depth_rmse"] <= 0.5 * info["depth_rmse_mean_predictor"]
    assert info["held_out_scenes"] >= 200
    assert info["training"]["seed"] == 0


def test_shipped_package_comes_from_the_shipped_weights() -> None:
    package = store.load_model("m3vit-micro")
    assert package.config == M3VIT_MICRO
    digest = hashlib.sha256(store.float_path("m3vit-micro").read_bytes()).hexdigest()
    assert package.provenance["weights_sha256"] == digest
    arrays = store.load_float("m3vit-micro")
    images = calibration_images(M3VIT_MICRO, package.provenance["calibration_images"])
    again = quantise(arrays, M3VIT_MICRO, calibrate(arrays, M3VIT_MICRO, images))
    differing = [name for name in again.arrays if not np.array_equal(again.arrays[name], package.arrays[name])]
    # another processor may sum in another order and move a value across a rounding boundary by one
    for name in differing:
        step = np.abs(again.arrays[name].astype(np.int64) - package.arrays[name].astype(np.int64))
        assert step.max() <= 1 or name.endswith("bias"), name
        assert np.count_nonzero(step) <= 0.01 * step.size + 1, name


def test_a_package_loads_without_torch() -> None:
    code = (
        "import sys; from hwgen.frontend.store import load_model, load_float;"
        "load_model('m3vit-micro'), load_float('m3vit-micro'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_seeded_packages_repeat_differ_by_seed_and_survive_a_file(tmp_path: Path) -> None:
    first, again, other = seeded_package(SMALL, 1), seeded_package(SMALL, 1), seeded_package(SMALL, 2)
    assert first.sha256() == again.sha256()
    assert first.sha256() != other.sha256()
    save_package(first, tmp_path / "small.safetensors")
    loaded = load_package(tmp_path / "small.safetensors")
    assert loaded.sha256() == first.sha256()
    assert loaded.scales == first.scales
    assert loaded.provenance["seed"] == 1


def test_seeded_tiny_routes_to_every_expert() -> None:
    from golden.network import run_network

    package = store.load_model("m3vit-tiny")
    image = calibration_images(M3VIT_TINY, 1)[0]
    tensors = run_network(package, image, "seg")
    blocks = M3VIT_TINY.moe_blocks
    used = [np.count_nonzero(tensors[f"blocks.{block}.queue_lengths"]) for block in blocks]
    assert len(used) == 6
    assert min(used) >= M3VIT_TINY.experts // 2
    for block in range(M3VIT_TINY.depth):
        name = f"blocks.{block}.{'moe' if M3VIT_TINY.is_moe(block) else 'mlp'}"
        assert tensors[name].std() > 300, name  # the residual uses its codes
        assert (np.abs(tensors[name]) == 32767).mean() == 0, name  # and does not saturate


def test_unknown_missing_and_damaged_models_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="did you mean 'm3vit-micro'"):
        store.load_model("m3vit-micr")
    with pytest.raises(PackageError, match="no such float model"):
        store.read_float(tmp_path / "none", M3VIT_MICRO)
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"nonsense")
    with pytest.raises(PackageError, match=r"bad\.safetensors: not a readable safetensors file"):
        store.read_float(bad, M3VIT_MICRO)
    with pytest.raises(PackageError, match=r"float\.safetensors: small: class_token has shape \[64\], expected \[32\]"):
        store.read_float(store.float_path("m3vit-micro"), SMALL)


def test_float_models_refuse_to_be_written_with_bad_values(tmp_path: Path) -> None:
    arrays = dict(store.load_float("m3vit-micro"))
    arrays["norm.bias"] = arrays["norm.bias"] * np.float32(np.inf)
    with pytest.raises(ValueError, match=r"norm\.bias holds NaN or infinite values"):
        store.save_float(tmp_path / "x.safetensors", arrays, M3VIT_MICRO, {})
    assert noise_image(SMALL).shape == (16, 32, 3)
