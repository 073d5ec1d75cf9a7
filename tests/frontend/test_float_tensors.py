"""Float tensors and made networks are computed once: a second run of a picture, or of a network, reads them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from golden.reference.m3vit_float import FloatModel
from hwgen.frontend import float_tensors, store
from hwgen.frontend.float_tensors import FloatTensors
from hwgen.frontend.seeded import seeded_calibrated, seeded_package
from hwgen.frontend.store import float_digest, load_float, load_model
from hwgen.spec.presets import model_config
from hwgen.spec.weight_bits import with_weight_bits
from hwgen.store.cache import VARIABLE, usage

NAME = "m3vit-micro"
CONFIG = model_config(NAME)
IMAGE = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))


def _entries(kind: str) -> int:
    return next(item.entries for item in usage() if item.kind == kind)


def test_the_second_run_of_a_picture_reads_its_tensors(monkeypatch: pytest.MonkeyPatch):
    want = FloatModel(load_float(NAME), CONFIG, details=True).run(IMAGE, "seg")
    first = FloatTensors(NAME, CONFIG).of(IMAGE, "seg")
    monkeypatch.delattr(float_tensors, "load_float")
    second = FloatTensors(NAME, CONFIG).of(IMAGE, "seg")
    assert list(want) == list(first) == list(second)
    assert all(np.array_equal(want[name], second[name]) for name in want)
    with pytest.raises(NameError):
        FloatTensors(NAME, CONFIG).of(IMAGE[::-1], "seg")
    with pytest.raises(NameError):
        FloatTensors(NAME, CONFIG).of(IMAGE, "depth")


def test_pictures_of_a_measurement_are_not_kept():
    FloatTensors(NAME, CONFIG, keep=False).of(IMAGE, "seg")
    assert _entries("float") == 0


def test_a_made_network_is_kept(monkeypatch: pytest.MonkeyPatch):
    config = replace(CONFIG, name="seeded", depth=1, moe_blocks=())
    want, arrays = seeded_package(config, 3), seeded_calibrated(config, 3)[0]
    store._kept_package(config, 3, lambda: want)
    monkeypatch.delattr(store, "seeded_package")
    found = store._seeded_model.__wrapped__(config, 3)
    assert found.sha256() == want.sha256()
    assert (found.config, found.scales, found.provenance) == (want.config, want.scales, want.provenance)
    kept = store._kept_seeded(config, 3)
    assert all(np.array_equal(kept[name], arrays[name]) for name in arrays)
    with pytest.raises(NameError):
        store._seeded_model.__wrapped__(config, 4)


def test_weights_of_other_numbers_have_other_names(tmp_path: Path):
    names = [float_digest(NAME), float_digest("m3vit-tiny")]
    for depth in (1, 2):
        path = tmp_path / f"net{depth}.yaml"
        path.write_text(f"base: {NAME}\ndepth: {depth}\nmoe_blocks: []\n")
        names.append(float_digest(str(path)))
    assert len(set(names)) == 4


def test_a_narrow_package_of_trained_weights_is_kept():
    narrow = with_weight_bits(CONFIG, "experts=4").int4
    store._shipped_model.cache_clear()  # another test of this process may have asked
    package = load_model(NAME, int4=narrow)
    assert _entries("packages") == 1
    store._shipped_model.cache_clear()
    assert load_model(NAME, int4=narrow).sha256() == package.sha256()
