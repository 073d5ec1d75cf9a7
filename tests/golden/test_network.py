"""The whole network: names and shapes, a restatement in float arithmetic, experts that add up to a dense MLP."""

import time
from dataclasses import replace
from math import erf, sqrt

import numpy as np
import pytest

from golden.network import run_network
from golden.rounding import sat8, sat16
from hwgen.spec.package import QuantisedModel
from hwgen.spec.presets import M3VIT_MICRO, M3VIT_TINY
from tests.golden.random_package import MINI, changed, random_image, random_package

EVERY_BLOCK = ("norm1", "query", "key", "value", "scores", "context", "attention", "norm2")
DENSE = (*EVERY_BLOCK, "hidden", "mlp")
MOE = (*EVERY_BLOCK, "gate", "experts", "expert_scores", "queue_lengths", "moe")


@pytest.mark.parametrize("task", ["seg", "depth", "class"])
def test_names_shapes_and_ranges(task: str):
    tensors = run_network(random_package(MINI), random_image(MINI), task)
    names = ["patch_embed", *(f"blocks.0.{n}" for n in DENSE), *(f"blocks.1.{n}" for n in MOE), "norm", f"heads.{task}"]
    assert list(tensors) == names
    tokens, dim = MINI.tokens, MINI.dim
    shapes = {"scores": (2, tokens, tokens), "hidden": (tokens, 64), "gate": (tokens, 4), "queue_lengths": (4,)}
    shapes |= {"experts": (tokens, 2), "expert_scores": (tokens, 2), task: (1 if task == "class" else 6, 0)}
    shapes[task] = (shapes[task][0], MINI.task(task).outputs)
    for name, tensor in tensors.items():
        assert tensor.shape == shapes.get(name.split(".")[-1], (tokens, dim)), name
        assert len(np.unique(tensor)) > 1, name
    for part in ("norm1", "query", "key", "value", "context", "norm2"):
        assert np.abs(tensors[f"blocks.0.{part}"]).max() <= 127


def test_activations_are_neither_constant_nor_saturated():
    """The random packages exercise the arithmetic: few activations at the ends, all of them spread."""
    tensors = run_network(random_package(M3VIT_MICRO), random_image(M3VIT_MICRO), "seg")
    for name, tensor in tensors.items():
        if name.split(".")[-1] in ("norm1", "query", "key", "value", "context", "norm2", "hidden"):
            assert 8 < tensor.std() < 80, name
            assert (np.abs(tensor) == 127).mean() < 0.2, name


def test_tasks_share_everything_before_the_first_gate():
    package, image = random_package(MINI), random_image(MINI)
    seg, depth = (run_network(package, image, task) for task in ("seg", "depth"))
    before = [name for name in seg if not name.startswith(("blocks.1.", "norm", "heads"))]
    assert len(before) == 1 + len(DENSE)
    assert all(np.array_equal(seg[name], depth[name]) for name in before)
    assert np.array_equal(seg["blocks.1.norm2"], depth["blocks.1.norm2"])
    assert not np.array_equal(seg["blocks.1.gate"], depth["blocks.1.gate"])
    assert not np.array_equal(seg["blocks.1.moe"], depth["blocks.1.moe"])


def test_class_token_is_the_first_position_row():
    package = random_package(MINI)
    tensors = run_network(package, random_image(MINI), "seg")
    assert np.array_equal(tensors["patch_embed"][0], package.arrays["position"][0])
    assert not np.array_equal(tensors["patch_embed"][1], package.arrays["position"][1])


def test_inputs_are_not_modified():
    package, image = random_package(MINI), random_image(MINI)
    digest, copy = package.sha256(), image.copy()
    first = run_network(package, image, "seg")
    second = run_network(package, image, "seg")
    assert package.sha256() == digest
    assert np.array_equal(image, copy)
    assert all(np.array_equal(first[name], second[name]) for name in first)


def real_layer(package: QuantisedModel, name: str, rows: np.ndarray, expert: int | None = None) -> np.ndarray:
    """A linear layer on real numbers: no rounding."""
    parts = [package.arrays[f"{name}.{p}"].astype(float) for p in ("weight", "bias", "mult", "shift")]
    weight, bias, mult, shift = parts if expert is None else [part[expert] for part in parts]
    return (rows @ weight.T + bias) * mult / 2.0**shift


def test_every_layer_against_real_arithmetic():
    """Each named tensor is recomputed from its named inputs without rounding; one code of error at most."""
    package, image = random_package(M3VIT_MICRO), random_image(M3VIT_MICRO)
    t = run_network(package, image, "seg")
    residual, compared = t["patch_embed"], 0
    for block in range(M3VIT_MICRO.depth):
        at = f"blocks.{block}"
        for part in ("query", "key", "value"):
            real = real_layer(package, f"{at}.{part}", t[f"{at}.norm1"])
            assert np.abs(sat8(np.round(real)) - t[f"{at}.{part}"]).max() <= 1
            compared += 1
        real = residual + real_layer(package, f"{at}.proj", t[f"{at}.context"])
        assert np.abs(sat16(np.round(real)) - t[f"{at}.attention"]).max() <= 1
        residual = t[f"{at}.attention"]
        if M3VIT_MICRO.is_moe(block):
            real = real_layer(package, f"{at}.gate.seg", t[f"{at}.norm2"])
            assert np.abs(sat16(np.round(real)) - t[f"{at}.gate"]).max() <= 1
            assert t[f"{at}.queue_lengths"].sum() == 65 * 2
            assert np.array_equal(np.bincount(t[f"{at}.experts"].ravel(), minlength=8), t[f"{at}.queue_lengths"])
            residual = t[f"{at}.moe"]
        else:
            real = residual + real_layer(package, f"{at}.fc2", t[f"{at}.hidden"])
            assert np.abs(sat16(np.round(real)) - t[f"{at}.mlp"]).max() <= 1
            residual = t[f"{at}.mlp"]
        compared += 2
    real = real_layer(package, "heads.seg", t["norm"][1:])
    assert np.abs(sat16(np.round(real)) - t["heads.seg"]).max() <= 1
    assert compared == 4 * 5


def gelu_real(x: np.ndarray) -> np.ndarray:

    return np.vectorize(lambda v: 0.5 * v * (1 + erf(v / sqrt(2))))(x)


def test_one_expert_layer_against_real_arithmetic():
    """The MoE sum of a token, from the gate's scores and the expert weights, on real numbers."""
    package = random_package(MINI)
    t = run_network(package, random_image(MINI), "seg")
    at = "blocks.1"
    scale = float(package.arrays[f"{at}.experts.fc1.gelu_mult"][0]) / 2.0 ** package.arrays[
        f"{at}.experts.fc1.gelu_shift"
    ][0].astype(int)
    for token in range(MINI.tokens):
        total = t[f"{at}.attention"][token].astype(float)
        for expert, score in zip(t[f"{at}.experts"][token], t[f"{at}.expert_scores"][token], strict=True):
            z = real_layer(package, f"{at}.experts.fc1", t[f"{at}.norm2"][token], int(expert)) / 2048
            hidden = sat8(np.round(gelu_real(z) * 2**16 * scale) + package.arrays[f"{at}.experts.fc1.zero"])
            total += real_layer(package, f"{at}.experts.fc2", hidden, int(expert)) * score / 32768
        # one code of a hidden activation may differ at a rounding boundary; a wrong expert is off by hundreds
        assert np.abs(total - t[f"{at}.moe"][token]).max() <= 30


def test_experts_with_exact_scores_equal_the_dense_mlp():
    """A dense MLP cut into E experts of equal logits: scores are exactly 1/E, fc2 is scaled by E, every bit agrees.

    The second layer's requantisation is exact on both sides: multiplier over shift is one (dense) and E (experts).
    """
    experts = 4
    dense_config = replace(MINI, moe_blocks=(), mlp_hidden=experts * MINI.expert_hidden)
    moe_config = replace(MINI, moe_blocks=(0, 1), top_k=experts)
    rng = np.random.default_rng(7)
    dense, moe = random_package(dense_config, 1), random_package(moe_config, 1)
    shared = {name: array for name, array in dense.arrays.items() if name in moe.arrays}
    arrays = dict(moe.arrays) | shared
    for block in range(2):
        at = f"blocks.{block}"
        weight = rng.integers(-2, 3, (MINI.dim, dense_config.mlp_hidden)).astype(np.int8)
        exact = {"mult": np.full(MINI.dim, 2**8, np.uint16), "shift": np.full(MINI.dim, 8, np.uint8)}
        bias = rng.integers(-500, 500, MINI.dim).astype(np.int32)
        dense = changed(dense, **{f"{at}.fc2.{k}": v for k, v in {"weight": weight, "bias": bias, **exact}.items()})
        for part in ("weight", "bias", "mult", "shift"):
            whole = dense.arrays[f"{at}.fc1.{part}"]
            arrays[f"{at}.experts.fc1.{part}"] = whole.reshape(experts, MINI.expert_hidden, *whole.shape[1:])
            for task in MINI.tasks:
                arrays[f"{at}.gate.{task.name}.{part}"] = np.zeros_like(arrays[f"{at}.gate.{task.name}.{part}"])
        for part in ("gelu_mult", "gelu_shift", "zero"):
            arrays[f"{at}.experts.fc1.{part}"] = dense.arrays[f"{at}.fc1.{part}"]
        arrays[f"{at}.experts.fc2.weight"] = np.stack(np.split(weight, experts, axis=1))
        arrays[f"{at}.experts.fc2.bias"] = np.stack([bias, *([bias * 0] * (experts - 1))])
        arrays[f"{at}.experts.fc2.mult"] = np.full((experts, MINI.dim), experts * 2**8, np.uint16)
        arrays[f"{at}.experts.fc2.shift"] = np.full((experts, MINI.dim), 8, np.uint8)
    image = random_image(MINI)
    expected = run_network(dense, image, "seg")
    found = run_network(QuantisedModel(config=moe_config, arrays=arrays, scales={}), image, "seg")
    for block in range(2):
        assert set(found[f"blocks.{block}.expert_scores"].ravel().tolist()) == {8192}
        assert np.array_equal(found[f"blocks.{block}.moe"], expected[f"blocks.{block}.mlp"])
        assert not np.array_equal(expected[f"blocks.{block}.mlp"], expected[f"blocks.{block}.attention"])
    assert np.array_equal(found["heads.seg"], expected["heads.seg"])


def test_expert_updates_accumulate_in_ascending_order():
    """Two updates of opposite sign on a residual near its end: only the ascending order saturates."""
    config = replace(MINI, depth=1, moe_blocks=(0,), experts=2, top_k=2)
    package = random_package(config)
    at = "blocks.0.experts.fc2"
    zero = {
        f"blocks.0.gate.seg.{p}": np.zeros_like(package.arrays[f"blocks.0.gate.seg.{p}"]) for p in ("weight", "bias")
    }
    shape = (2, config.dim)
    bias = np.stack([np.full(config.dim, 32767), np.full(config.dim, -32768)]).astype(np.int32)
    package = changed(
        package,
        **zero,
        **{f"{at}.weight": np.zeros_like(package.arrays[f"{at}.weight"]), f"{at}.bias": bias},
        **{f"{at}.mult": np.ones(shape, np.uint16), f"{at}.shift": np.zeros(shape, np.uint8)},
        **{"position": np.full_like(package.arrays["position"], 30000)},
    )
    t = run_network(package, random_image(config), "seg")
    before = t["blocks.0.attention"]
    ascending = np.minimum(before + 16384, 32767) - 16384
    assert np.array_equal(t["blocks.0.moe"], ascending)
    assert not np.array_equal(ascending, np.maximum(before - 16384, -32768) + 16384)


def test_wrong_inputs_are_refused():
    package = random_package(MINI)
    with pytest.raises(ValueError, match=r"uint8 image \[16, 24, 3\], got uint8\[16, 16, 3\]"):
        run_network(package, np.zeros((16, 16, 3), np.uint8), "seg")
    with pytest.raises(ValueError, match="no task 'pose'"):
        run_network(package, random_image(MINI), "pose")


def test_tiny_is_fast():
    package, image = random_package(M3VIT_TINY), random_image(M3VIT_TINY)
    start = time.process_time()
    tensors = run_network(package, image, "seg")
    assert time.process_time() - start < 10  # 1.5 s of one core; processor time, so that neighbours do not count
    assert tensors["heads.seg"].shape == (128, 19)
    assert len(np.unique(tensors["heads.seg"])) > 500
