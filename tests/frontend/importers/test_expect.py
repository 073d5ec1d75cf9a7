"""``hwgen import --expect``: a network of another function with a plain ViT's key names does not get through."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from golden.reference.m3vit_float import FloatModel
from hwgen.frontend.importers.expect import LEAST_DB, decibels
from hwgen.frontend.store import load_float, load_model
from tests.frontend.importers.command import run
from tests.frontend.importers.independent import Form, backbone, classify
from tests.frontend.importers.made import DIM, HEADS, TASKS, as_torch, edge_state, image, m3vit_state, timm_state

SIDE = 32
IMAGES = 2
IMAGENET = (np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]))
VARIANTS: dict[str, dict[str, Any]] = {
    "mean pooling": {"form": Form(mean_pooling=True)},
    "relu": {"form": Form(activation=functional.relu)},
    "post-norm": {"form": Form(post_norm=True)},
    "other heads": {"heads": HEADS // 2},
    "other mean": {"mean": (0.485, 0.456, 0.406)},
}
NET = "timm net.npz --name net --heads 4"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("net.npz", **timm_state(3))  # pyright: ignore[reportArgumentType]


def _framework(**changes: Any) -> dict[str, np.ndarray]:
    """Images and float32 outputs of a network with the arrays of ``net.npz``."""
    images = [image(SIDE, SIDE, seed) for seed in range(IMAGES)]
    given = {"heads": HEADS, "mean": (0.5,) * 3, "std": (0.5,) * 3, **changes}
    state = as_torch(timm_state(3))
    outputs = [classify(state, picture, **given)[0] for picture in images]
    return {"image": np.stack(images), "output": np.stack(outputs).astype(np.float32)}


def _import(expect: dict[str, Any], words: str = NET) -> int:
    np.savez("expect.npz", **expect)
    return run(f"import {words} --expect expect.npz --calib-images 1 -o out --json out.json")


def _left() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS.keys())
def test_another_function_is_refused_with_its_figure(
    changes: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    before = _left()
    assert _import(_framework(**changes)) == 2
    told = capsys.readouterr().err
    found = re.match(r"error: --expect: class (-?\d+\.\d) dB on 2 images of expect\.npz, at least 40 are needed", told)
    assert found is not None, told
    assert -20 < float(found[1]) < LEAST_DB - 2
    for part in ("activation: gelu", "norm order: pre-norm", "pooling: none", "heads: 4 of 8 channels"):
        assert part in told
    assert _left() == sorted([*before, "expect.npz"])


def test_one_image_that_differs_is_enough() -> None:
    expect = _framework()
    expect["output"][1] = _framework(form=Form(activation=functional.relu))["output"][1]
    assert _import(expect) == 2
    assert _import({name: array[:1] for name, array in expect.items()}) == 0


def test_the_plain_network_passes_and_says_how_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert _import(_framework()) == 0
    told = capsys.readouterr().out
    found = re.search(r"agrees with your framework: class (\d+\.\d) dB on 2 images of expect\.npz\n", told)
    assert found is not None, told
    assert float(found[1]) > 90
    provenance = load_model("out/net.safetensors").provenance
    assert json.loads(Path("out.json").read_text())["provenance"] == provenance
    assert provenance["agreement"]["decibels"] == {"class": float(found[1])}
    assert provenance["agreement"]["images"] == IMAGES


@pytest.mark.parametrize(
    ("activation", "doubted"),
    [
        (lambda x: (x * torch.sigmoid(1.702 * x) + functional.gelu(x)) / 2, True),  # half quick GELU: within 0.01
        (lambda x: functional.gelu(x, approximate="tanh"), False),  # within 0.0005: no code changes
    ],
)
def test_nearly_the_same_function_is_doubted(
    activation: Callable[[torch.Tensor], torch.Tensor], doubted: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _import(_framework(form=Form(activation=activation))) == 0
    told = capsys.readouterr().out
    assert ("note: float32 runs of one function agree to more than 60 dB: was it half" in told) is doubted
    assert "agrees with your framework: class" in told


def test_a_package_with_new_scales_keeps_what_was_found() -> None:
    assert _import(_framework()) == 0
    before = load_model("out/net.safetensors").provenance
    assert run("quantize out/net.safetensors --calib generated --calib-images 1 -o again") == 0
    after = load_model("again/net.safetensors").provenance
    assert {name: after[name] for name in ("function", "agreement")} == {
        name: before[name] for name in ("function", "agreement")
    }


def test_every_part_of_the_function_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"import {NET} --calib-images 1") == 0
    told = capsys.readouterr().out
    for line in (
        "activation: gelu, x Phi(x), with the error function, between the two layers of an MLP or an expert (assumed)",
        "norm order: pre-norm: x + attention(norm1(x)), then x + mlp(norm2(x)), one LayerNorm before the heads (assu",
        "epsilon: 1e-06 in every LayerNorm (assumed)",
        "heads: 4 of 8 channels, one after the other in query, key and value; scores divided by sqrt(8) (--heads)",
        "class token: one, in row 0 of the position embedding, which is added once, before block 0 (read from the arr",
        "pooling: none: heads read the class token behind the final LayerNorm; no mean over patches (assumed)",
        "qkv bias: taken; the key's is dropped, softmax does not see it (read from the arrays)",
        "LayerScale: none (read from the arrays)",
        "pixels: (p / 255 - [0.5]) / [0.5], folded into the patch embedding (assumed)",
        "5 parts of the function are assumed: activation, norm order, epsilon, pooling, pixels",
        "not checked against your framework; --expect FILE.npz compares its outputs",
    ):
        assert f"note: {line}" in told
    function = load_model("net.safetensors").provenance["function"]
    assert len(function) == 9
    assert function["epsilon"] == "1e-06 in every LayerNorm (assumed)"


def _taps(changes: dict[int, Any]) -> dict[str, Any]:
    """What leaves every block of the network itself, with some of them changed."""
    assert run(f"import {NET} --calib-images 1 -o taps") == 0
    model = FloatModel(load_float("taps/net.safetensors"), load_model("taps/net.safetensors").config)
    found: dict[str, Any] = {}
    for number in range(4):
        name = f"blocks.{number}"
        found[name] = np.stack([model.run(image(SIDE, SIDE, seed), "class")[f"{name}.mlp"] for seed in range(IMAGES)])
        found[name] = changes.get(number, lambda rows: rows)(found[name])
    return found


def test_taps_say_where_two_networks_part(capsys: pytest.CaptureFixture[str]) -> None:
    """Outputs of blocks are named only when the outputs differ, and compared in the order of the network."""
    other = {**_framework(form=Form(activation=functional.relu)), **_taps({2: lambda rows: rows * 1.1})}
    capsys.readouterr()
    assert _import(other) == 2
    assert "\nthe first block that differs is blocks.2, 2" in capsys.readouterr().err
    assert _import({**other, **_taps({})}) == 2
    assert "all blocks agree, to 1" in capsys.readouterr().err
    assert _import({**_framework(), **_taps({})}) == 0
    for taps, says in (
        ({"blocks.4": np.ones((2, 17, DIM))}, "blocks.4: nothing reads that"),
        (
            {"blocks.1": np.ones((2, 16, DIM))},
            "blocks.1 is float64 of shape [2, 16, 32], expected floats of [2, 17",
        ),
        ({"blocks.1": np.ones((2, 17, DIM))}, "blocks.1: all values of an image are equal"),
    ):
        assert _import({**_framework(), **taps}) == 2
        assert says in capsys.readouterr().err


def test_normalised_images_are_turned_back_into_pixels(capsys: pytest.CaptureFixture[str]) -> None:
    mean, std = IMAGENET
    expect = _framework(mean=mean, std=std)
    expect["image"] = ((expect["image"] / 255 - mean) / std).transpose(0, 3, 1, 2).astype(np.float32)
    assert _import(expect) == 2
    told = capsys.readouterr().err
    assert "no whole number of 0..255, when pixels are normalised as (p / 255 - [0.5]) / [0.5]; give --mean" in told
    assert _import(expect, f"{NET} --mean imagenet --std imagenet") == 0
    assert _import({name: array[0] for name, array in expect.items()}, f"{NET} --mean imagenet --std imagenet") == 0


def _normalised(picture: np.ndarray, mean: Any, std: Any, full: float = 255.0) -> np.ndarray:
    return ((picture / full - mean) / std).transpose(2, 0, 1).astype(np.float32)


def test_normalised_images_of_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    """Each kind normalises in its own way; outputs of the float network itself, so that only the pixels count."""
    np.savez("m3vit.npz", **m3vit_state(5, decoders=False))  # pyright: ignore[reportArgumentType]
    np.savez("edge.npz", **edge_state(5))  # pyright: ignore[reportArgumentType]
    common, picture = "--name net --heads 4 --top-k 2 --image-size 16x32", image(16, 32)
    kinds = {
        f"m3vit m3vit.npz {common}": _normalised(picture, *IMAGENET),
        f"edge-moe edge.npz {common}": _normalised(picture, 0.0, 1.0, 256.0),
    }
    for words, floats in kinds.items():
        assert run(f"import {words} --calib-images 1 -o out") == 0
        model = FloatModel(load_float("out/net.safetensors"), load_model("out/net.safetensors").config)
        outputs = {task: model.run(picture, task)[f"heads.{task}"] for task in ("task0", "task1")}
        assert _import({"image": floats, **outputs}, words) == 0, capsys.readouterr().err
        assert _import({"image": floats * 0.9, **outputs}, words) == 2
        assert "no whole number of 0..255, when pixels are normalised as (p / " in capsys.readouterr().err


def test_every_task_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    """Names of tasks in the wrong order are another function: their gates are swapped."""
    arrays = m3vit_state(5)
    np.savez("m3vit.npz", **arrays)  # pyright: ignore[reportArgumentType]
    state = {name.removeprefix("backbone."): tensor for name, tensor in as_torch(arrays).items()}
    picture = image(16, 32)
    expect: dict[str, Any] = {"image": picture}
    for gate, task in enumerate(TASKS):
        rows = backbone(state, picture, HEADS, gate, 2, mean=IMAGENET[0], std=IMAGENET[1])[1:]
        affine = [state[f"decoders.{task}.norm.{part}"].double() for part in ("weight", "bias")]
        expect[task] = functional.layer_norm(rows, (DIM,), *affine, eps=1e-6).numpy()
    words = "m3vit m3vit.npz --name net --heads 4 --top-k 2 --features --image-size 16x32"
    assert _import(expect, f"{words} --tasks {','.join(TASKS)}") == 0
    assert re.search(r"agrees with your framework: semseg \d+\.\d dB, depth \d+\.\d dB", capsys.readouterr().out)
    assert _import(expect, f"{words} --tasks {','.join(reversed(TASKS))}") == 2
    assert re.search(r"--expect: depth -?\d+\.\d dB, semseg -?\d+\.\d dB on 1 image of", capsys.readouterr().err)
    del expect["depth"]
    assert _import(expect, f"{words} --tasks {','.join(TASKS)}") == 2
    assert "depth is missing; it holds image and the outputs of every task by its name, semseg, depth" in (
        capsys.readouterr().err
    )


def _changed(name: str, change: Callable[[Any], Any]) -> Callable[[], dict[str, Any]]:
    def make() -> dict[str, Any]:
        found = _framework()
        return {**found, name: change(found[name].copy())}

    return make


def _put(array: Any, value: float) -> Any:
    array.flat[3] = value
    return array


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: {"image": _framework()["image"]}, "output is missing"),
        (lambda: {"output": _framework()["output"]}, "image is missing"),
        (lambda: {**_framework(), "logits": np.zeros(3)}, "logits: nothing reads that; it holds image and the out"),
        (_changed("image", lambda a: a[:, 1:]), "image is uint8 of shape [2, 31, 32, 3], expected [32, 32, 3]"),
        (_changed("image", lambda a: a[None]), "image is uint8 of shape [1, 2, 32, 32, 3]"),
        (_changed("image", lambda a: a[:0]), "image is uint8 of shape [0, 32, 32, 3]"),
        (_changed("image", lambda a: a.astype(np.float32)), "expected [3, 32, 32] (channels, height, width)"),
        (_changed("image", lambda a: a.astype(np.int64)), "image holds int64, expected uint8 pixels or normalised fl"),
        (_changed("image", lambda a: a * 0 + 7), "all pixels of one are equal"),
        (
            _changed("image", lambda a: _put(np.ones((2, 3, 32, 32)), np.nan)),
            "image: nan (image 0, channel 0, row 0, column 3) would be pixel nan",
        ),
        (_changed("output", lambda a: a[:, :9]), "output is float32 of shape [2, 9], expected floats of [2, 1, 10] or"),
        (_changed("output", lambda a: a.astype(int)), "output is int64 of shape"),
        (_changed("output", lambda a: _put(a, np.inf)), "output holds NaN or infinite values"),
        (_changed("output", lambda a: a * 0), "all values of an image are equal, which shows nothing"),
        (lambda: {"image": np.array([{}], dtype=object)}, "cannot be read"),
    ],
)
def test_a_bad_file_is_one_message_and_leaves_nothing(
    make: Callable[[], dict[str, Any]], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _import(make()) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: --expect expect.npz")
    assert says in told
    assert _left() == ["expect.npz", "net.npz"]


def test_files_that_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    for name, says in (("none.npz", "no such file"), ("net.npz.txt", "cannot be read")):
        Path("net.npz.txt").write_text("logits 1 2 3")
        assert run(f"import {NET} --expect {name} -o out") == 2
        assert f"error: --expect {name}: {says}" in capsys.readouterr().err
    assert run(f"import {NET} --expect net.npz --json net.npz") == 2
    assert "--json net.npz: is a file that the command reads or writes" in capsys.readouterr().err


def test_decibels_are_about_the_mean() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=1000)
    assert decibels(values, values) == 200
    assert decibels(values, values + 0.01 * rng.normal(size=1000)) == pytest.approx(40, abs=0.5)
    assert decibels(values + 100, values + 100 + 0.01) == pytest.approx(40, abs=0.5)
    assert decibels(np.array([2.0]), np.array([2.02])) == pytest.approx(40, abs=0.01)
    assert decibels(np.ones(9), np.zeros(9)) == -200
