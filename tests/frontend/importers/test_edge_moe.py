"""Edge-MoE's raw files: the same network as in M3ViT's names, stand-in experts, and the real weights where they lie."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from golden.reference.m3vit_float import FloatModel
from hwgen.frontend.importers.checkpoint import RAW_SUFFIX, Checkpoint, CheckpointError, read_checkpoint
from hwgen.frontend.importers.edge_moe import import_edge_moe
from hwgen.frontend.importers.imported import Imported, ImportOptions
from hwgen.frontend.importers.m3vit import import_m3vit
from tests.frontend.importers.made import EXPERTS, HEADS, REAL, Arrays, edge_state, image, m3vit_state

SIZE = (16, 32)


def _import(checkpoint: Checkpoint | Arrays, **options: Any) -> Imported:
    found = checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint("net.npz", checkpoint)
    return import_edge_moe(found, ImportOptions(name="net", **{"heads": HEADS, "image_size": SIZE, **options}))


def _folder(arrays: Arrays, folder: Path) -> Path:
    folder.mkdir()
    for name, array in arrays.items():
        array.astype("<f4").tofile(folder / f"{name}{RAW_SUFFIX}")
    return folder


def test_the_raw_files_are_the_network_of_the_m3vit_names(tmp_path: Path) -> None:
    raw = _import(read_checkpoint(_folder(edge_state(4), tmp_path / "weights")))
    scale = 255 / 256  # pixels are divided by 256 here
    options = ImportOptions(name="net", heads=HEADS, image_size=SIZE, top_k=2, mean=(0,), std=(1 / scale,))
    named = import_m3vit(Checkpoint("net", m3vit_state(4, decoders=False)), options)
    assert raw.config == named.config
    picture, compared = image(*SIZE), 0
    for task in ("task0", "task1"):
        runs = [FloatModel(one.arrays, one.config).run(picture, task) for one in (raw, named)]
        for name in runs[0]:
            np.testing.assert_allclose(runs[0][name], runs[1][name], rtol=1e-4, atol=1e-4)
            compared += 1
    assert compared > 60


def test_missing_expert_matrices_are_named_and_halves_stand_in_for_them_on_request() -> None:
    arrays = edge_state(matrices=False)
    with pytest.raises(CheckpointError, match="l1_htoh4_weight, l1_h4toh_weight, l3_htoh4_weight, l3_h4toh_weight are"):
        _import(arrays)
    imported = _import(arrays, stand_in_experts=True)
    assert imported.facts["stand_in_experts"]["blocks"] == [1, 3]
    halves = [arrays[f"l{block}_fc1_weight"][first : first + 32] for block in (0, 2) for first in (0, 32)]
    seconds = [arrays[f"l{block}_fc2_weight"][:, first : first + 32] for block in (0, 2) for first in (0, 32)]
    for block in (1, 3):
        for expert in range(EXPERTS):
            at = f"blocks.{block}.experts"
            assert np.array_equal(imported.arrays[f"{at}.fc1.weight"][expert], halves[(block + expert) % 4])
            assert np.array_equal(imported.arrays[f"{at}.fc2.weight"][expert], seconds[(block + expert) % 4])
        assert np.array_equal(imported.arrays[f"blocks.{block}.experts.fc2.bias"], arrays[f"l{block}_h4toh_bias"])
    with pytest.raises(CheckpointError, match="no expert matrix is missing"):
        _import(edge_state(), stand_in_experts=True)
    del arrays["l3_htoh4_bias"]
    with pytest.raises(CheckpointError, match="l3_"):
        _import(arrays, stand_in_experts=True)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: (f / f"l2_qkv_bias{RAW_SUFFIX}").write_bytes(b"abc"), r"l2_qkv_bias.*3 bytes, not a whole number"),
        (
            lambda f: (f / f"l2_qkv_bias{RAW_SUFFIX}").write_bytes(bytes(40)),
            r"l2_qkv_bias has 10 values, expected \[96\]",
        ),
        (
            lambda f: (f / f"pos_embed{RAW_SUFFIX}").write_bytes(bytes(40)),
            r"pos_embed has 10 values, not a multiple of 32",
        ),
        (lambda f: (f / f"l0_fc1_weight{RAW_SUFFIX}").unlink(), r"l0_fc1_weight is missing"),
        (lambda f: (f / f"l1_norm1_weight{RAW_SUFFIX}").unlink(), r"l1_norm1_weight is missing"),
        (lambda f: (f / f"l0_what{RAW_SUFFIX}").write_bytes(bytes(8)), r"l0_what: not part of any layer"),
        (lambda f: (f / f"l1_h4toh_weight{RAW_SUFFIX}").unlink(), r"expert matrices l1_h4toh_weight are missing"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, change: Any, says: str) -> None:
    folder = _folder(edge_state(), tmp_path / "weights")
    change(folder)
    with pytest.raises(CheckpointError, match=says):
        _import(read_checkpoint(folder))


def test_the_real_weights_route_as_published() -> None:
    if not REAL.is_file():
        pytest.skip(f"no real weights at ../shared/data/edge_moe beside the repository ({REAL.name})")
    options = ImportOptions(name="real", stand_in_experts=True)
    imported = import_edge_moe(read_checkpoint(REAL), options)
    config = imported.config
    assert (config.image_height, config.image_width, config.heads, config.top_k) == (128, 256, 3, 2)
    assert (config.dim, config.depth, config.experts, config.expert_hidden) == (192, 12, 16, 384)
    with np.load(REAL) as archive:
        picture = np.round(archive["image"] * 256).astype(np.uint8).transpose(1, 2, 0)
    front, kept = replace(config, depth=2, moe_blocks=(1,)), []  # two blocks are enough
    for task in ("task0", "task1"):
        tensors = FloatModel(imported.arrays, front).run(picture, task)
        kept.append(float(tensors["blocks.1.expert_scores"].sum(axis=1).mean()))
    assert kept == pytest.approx([0.35, 0.46], abs=0.006)  # before any stand-in: nothing of it depends on them
