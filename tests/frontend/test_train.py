"""The training script: reproducible, learning, and writing what the store reads."""

import json
from pathlib import Path

import numpy as np
import pytest

from hwgen.frontend.evaluate import to_pixels as numpy_to_pixels
from hwgen.spec.presets import M3VIT_MICRO

torch = pytest.importorskip("torch", reason="training needs torch")
train = pytest.importorskip("hwgen.frontend.train", reason="training needs torch")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory):
    """A handful of training scenes, drawn once."""
    return train.training_scenes(M3VIT_MICRO, 48, tmp_path_factory.mktemp("scenes"))


def test_scenes_come_back_from_the_cache(tmp_path: Path) -> None:
    drawn = train.training_scenes(M3VIT_MICRO, 4, tmp_path)
    read = train.training_scenes(M3VIT_MICRO, 4, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    assert torch.equal(drawn.images, read.images)
    assert torch.equal(drawn.depths, read.depths)
    mirrored = read.pick(torch.tensor([1]), mirrored=True)
    assert torch.equal(mirrored.labels[0], read.labels[1].flip(1))


def test_pixels_are_those_of_the_numpy_evaluation() -> None:
    task = M3VIT_MICRO.task("seg")
    output = np.random.default_rng(0).standard_normal((M3VIT_MICRO.patches, task.outputs)).astype(np.float32)
    found = train.to_pixels(torch.from_numpy(output)[None], M3VIT_MICRO, task)[0]
    assert np.array_equal(found.numpy(), numpy_to_pixels(output, M3VIT_MICRO, task))


def test_the_same_seed_gives_the_same_weights_and_the_losses_fall(scenes) -> None:
    config = train.TrainConfig(steps=8, scenes=48, batch=12, warmup_steps=1, threads=1)
    first, again = train.train(config, scenes), train.train(config, scenes)
    for one, other in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    torch.manual_seed(0)
    untrained = train.M3ViT(M3VIT_MICRO)
    untrained.set_output_bias("depth", float(scenes.depths.mean()))
    everything = scenes.pick(torch.arange(48), mirrored=False)
    before, after = (train.losses(model.train(), everything) for model in (untrained, first))
    assert after[0] < 0.9 * before[0]
    assert after[1] < 0.9 * before[1]


def test_publishing_writes_both_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hwgen.frontend.store import read_float
    from hwgen.store.packages import load_package

    monkeypatch.setattr(train, "HELD_OUT_SCENES", 2)
    monkeypatch.setattr(train, "CALIBRATION_IMAGES", 2)
    torch.manual_seed(0)
    train.publish(train.float_model(train.M3ViT(M3VIT_MICRO)), M3VIT_MICRO, {"note": "test"}, tmp_path)
    arrays, info = read_float(tmp_path / "m3vit-micro.float.safetensors", M3VIT_MICRO)
    assert info["note"] == "test"
    assert json.dumps(info)
    assert info["held_out_scenes"] == 2
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert load_package(tmp_path / "m3vit-micro.safetensors").provenance["calibration_images"] == 2
