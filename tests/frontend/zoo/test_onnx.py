"""hwgen import onnx: graphs of several frameworks and exporters are the network that was exported, or are refused."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from golden.reference.m3vit_float import FloatModel
from hwgen.frontend.importers.checkpoint import CheckpointError
from hwgen.frontend.importers.expect import USUAL_DB, decibels
from hwgen.frontend.importers.imported import Imported, ImportOptions
from hwgen.frontend.importers.onnx import import_onnx
from hwgen.frontend.store import load_model
from tests.frontend.importers.command import run
from tests.frontend.zoo.others import (
    CLASSES,
    DEPTH,
    DIM,
    HEADS,
    PATCH,
    SIDE,
    Answer,
    Make,
    distilled,
    export,
    noise,
    normalised,
    onnx,
    plain,
    random_weights,
    timm,
    transformers,
    vit,
)

swin: Any = pytest.importorskip("timm.models.swin_transformer")
torchvision_vit: Any = pytest.importorskip("torchvision.models.vision_transformer")
HUGGING: dict[str, Any] = {
    "hidden_size": DIM,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": HEADS,
    "image_size": SIDE,
    "patch_size": PATCH,
    "intermediate_size": 2 * DIM,
    "mlp_ratio": 2,
    "num_labels": CLASSES,
}


def _torchvision() -> nn.Module:
    model = torchvision_vit.VisionTransformer(
        image_size=SIDE,
        patch_size=PATCH,
        num_layers=DEPTH,
        num_heads=HEADS,
        hidden_dim=DIM,
        mlp_dim=2 * DIM,
        num_classes=CLASSES,
    )
    return random_weights(model)


def _hugging(kind: str, config: str, **options: Any) -> nn.Module:
    """A small network of Hugging Face's with random weights."""
    made = getattr(transformers, config)(**{**HUGGING, **options})
    model = getattr(transformers, kind)
    return random_weights(Answer(model(made, add_pooling_layer=False) if kind == "ViTModel" else model(made)))


ACCEPTED: dict[str, Make] = {
    "timm": plain,
    "timm, registers, LayerScale, QuickGELU": partial(
        plain, reg_tokens=2, no_embed_class=True, init_values=0.3, act_layer="quick_gelu"
    ),
    "timm, mean pooling, fc_norm, tanh": partial(plain, global_pool="avg", act_layer="gelu_tanh"),
    "timm, mean pooling, SiLU": partial(plain, global_pool="avg", fc_norm=False, act_layer="silu"),
    "timm, no class token, ReLU": partial(plain, global_pool="avg", class_token=False, act_layer="relu"),
    "timm, Hardswish, wide": partial(plain, img_size=(16, 32), act_layer="hard_swish"),
    "timm, features": partial(plain, num_classes=0, global_pool=""),
    "timm, class token": partial(plain, num_classes=0),
    "timm, no biases, no position": partial(plain, qkv_bias=False, proj_bias=False, pos_embed="none"),
    "timm, distilled": distilled,
    "torchvision": _torchvision,
    "Hugging Face ViT": partial(_hugging, "ViTModel", "ViTConfig"),
    "Hugging Face ViT, classifier": partial(_hugging, "ViTForImageClassification", "ViTConfig"),
    "Hugging Face ViT, eager": partial(_hugging, "ViTModel", "ViTConfig", attn_implementation="eager"),
    "Hugging Face DeiT, two heads": partial(_hugging, "DeiTForImageClassificationWithTeacher", "DeiTConfig"),
    "DINOv2": partial(_hugging, "Dinov2Model", "Dinov2Config"),
    "DINOv2 with registers": partial(
        _hugging, "Dinov2WithRegistersModel", "Dinov2WithRegistersConfig", num_register_tokens=3
    ),
}
_NEWER = ("timm", "torchvision", "DINOv2 with registers")  # torch's newer exporter takes ten seconds each
_NOT_OLDER = ("DINOv2 with registers",)  # torch's older exporter has no antialiased resizing
_EXPORTS = [(name, False) for name in ACCEPTED if name not in _NOT_OLDER] + [(name, True) for name in _NEWER]


def _read(path: Path, **options: Any) -> Imported:
    return import_onnx(path, ImportOptions(name="net", **options))[0]


@pytest.mark.parametrize(("name", "newer"), _EXPORTS)
def test_a_graph_is_the_network_that_was_exported(name: str, newer: bool, tmp_path: Path):
    model = ACCEPTED[name]()
    size = getattr(getattr(model, "patch_embed", None), "img_size", (SIDE, SIDE))
    imported = _read(export(model, tmp_path / "net.onnx", newer=newer, size=size))
    image = noise(size, 3)
    with torch.no_grad():
        expected = model(normalised(image))[0].double().numpy()
    task = imported.config.tasks[0]
    ours = FloatModel(imported.arrays, imported.config).run(image, task.name)[f"heads.{task.name}"]
    assert decibels(expected.ravel(), ours.ravel()) >= USUAL_DB
    assert imported.config.dim == DIM


class _Masked(nn.Module):
    """Attention that does not see the last token."""

    def __init__(self) -> None:
        super().__init__()
        self.model = plain()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        mask = torch.zeros(17, 17)
        mask[:, -1] = -1e9
        return self.model(image, attn_mask=mask)


class _Around(nn.Module):
    """Something behind or before a plain network."""

    def __init__(self, before: Callable[[Any], Any], behind: Callable[[Any], Any]) -> None:
        super().__init__()
        self.model, self.before, self.behind = plain(), before, behind

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.behind(self.model(self.before(image)))


def _same(x: Any) -> Any:
    return x


layers: Any = timm.layers
REFUSED: dict[str, tuple[Make, str]] = {
    "qk_norm": (partial(plain, qk_norm=True), "MatMul of .*: a product of two layers that are no queries and keys"),
    "norm before the blocks": (partial(plain, pre_norm=True), "LayerNormalization of .*: stands where the tokens of"),
    "post-norm": (partial(plain, block_fn=vit.ResPostBlock), "adds .*blocks of the machine are pre-norm"),
    "parallel": (partial(plain, block_fn=vit.ParallelScalingBlock), r"\(\w+ of .*\): "),
    "SwiGLU": (partial(plain, mlp_layer=layers.SwiGLU), r"Mul of .*: Mul of two layers, such as a gate"),
    "norm in attention": (partial(plain, scale_attn_norm=True), r"LayerNormalization of|MatMul of|Gemm of"),
    "norm in MLP": (partial(plain, scale_mlp_norm=True), r"is no MLP of two linear layers with an activation"),
    "ELU": (partial(plain, act_layer="elu"), "another function than the machine's between the layers of an MLP; .* is"),
    "Mish": (partial(plain, act_layer="mish"), "another function than the machine's between"),
    "max pooling": (partial(plain, global_pool="max"), r"ReduceMax of .*: no layer that the machine has"),
    "map pooling": (partial(plain, global_pool="map"), r"node .* \(\w+ of .*\): "),
    "no last norm": (partial(plain, final_norm=False), "the answer is not read behind a LayerNorm"),
    "mask": (_Masked, "scores with something added, such as a mask or a relative position bias"),
    "softmax behind": (partial(_Around, _same, lambda x: x.softmax(-1)), "softmax of something else than scores"),
    "activation behind": (partial(_Around, _same, lambda x: x.relu()), "not read behind a LayerNorm"),
    "a part of the head": (partial(_Around, _same, lambda x: x[:, :5]), "part of"),
    "a blur before": (partial(_Around, lambda x: nn.functional.avg_pool2d(x, 3, 1, 1), _same), "AveragePool of"),
    "CLIP": (
        lambda: random_weights(
            Answer(
                transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**{**HUGGING, "hidden_act": "quick_gelu"}))
            )
        ),
        "the answer is not read behind a LayerNorm",
    ),
    "BEiT": (
        partial(_hugging, "BeitModel", "BeitConfig", use_relative_position_bias=True, use_mask_token=False),
        r"node .* \(\w+ of .*\): ",
    ),
    "a convolutional network": (
        partial(timm.create_model, "test_resnet", num_classes=10),
        r"Conv of .*: a convolution",
    ),
    "swin": (
        partial(
            swin.SwinTransformer, img_size=32, patch_size=4, embed_dim=16, depths=(1,), num_heads=(2,), window_size=4
        ),
        r"node .* \(\w+ of .*\): ",
    ),
    "levit": (partial(timm.create_model, "levit_128s"), r"Conv of .*: a convolution that is no embedding of whole"),
}
_SIDES = {"levit": 224}


@pytest.mark.parametrize("name", REFUSED)
def test_another_function_is_refused_with_its_node(name: str, tmp_path: Path):
    make, says = REFUSED[name]
    path = export(make().eval(), tmp_path / "net.onnx", size=(_SIDES.get(name, SIDE),) * 2)
    with pytest.raises(CheckpointError, match=says) as found:
        _read(path)
    assert str(found.value).startswith(f"{path}: node ")


def test_pixels_that_the_graph_normalises_itself(tmp_path: Path):
    """A graph that begins with (x - mean) / std of its own."""
    mean, std = torch.tensor([0.1, 0.2, 0.3]).reshape(3, 1, 1), torch.tensor([0.5, 0.6, 0.7]).reshape(3, 1, 1)
    model = _Around(lambda x: (x - mean) / std, _same)
    imported = _read(export(model, tmp_path / "net.onnx"), mean=(0.0,), std=(1.0,))
    image = noise()
    with torch.no_grad():
        expected = model(normalised(image, 0.0, 1.0)).double().numpy()
    ours = FloatModel(imported.arrays, imported.config).run(image, "class")["heads.class"]
    assert decibels(expected, ours) >= USUAL_DB


def test_open_sizes_are_asked_for(tmp_path: Path):
    path = tmp_path / "net.onnx"
    axes = {"image": {0: "batch", 2: "height", 3: "width"}}
    model, image = plain(dynamic_img_size=True), torch.zeros(1, 3, SIDE, SIDE)
    torch.onnx.export(
        model, (image,), str(path), dynamo=False, opset_version=17, input_names=["image"], dynamic_axes=axes
    )
    with pytest.raises(CheckpointError, match="--image-size HxW is needed: the graph leaves open which images"):
        _read(path)
    assert _read(path, image_size=(SIDE, SIDE)).config.image_width == SIDE
    fixed = export(plain(), tmp_path / "fixed.onnx")
    with pytest.raises(CheckpointError, match="--image-size 40x32: the graph takes 32x32; export it for the size"):
        _read(fixed, image_size=(40, 32))


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    export(plain(act_layer="relu"), Path("net.onnx"))
    assert run("import onnx net.onnx --name mine --calib-images 1 -o out") == 0
    told = capsys.readouterr().out
    assert "agrees with your framework: class 1" in told
    assert "dB on 2 images of the graph" in told
    assert "note: activation: relu, max(x, 0), between the two layers of an MLP or an expert (the graph)" in told
    package = load_model("out/mine.safetensors")
    assert package.provenance["import"] == "onnx"
    assert package.provenance["agreement"]["source"] == "the graph"
    for words, says in (
        ("--heads 2", "--heads means nothing to onnx"),
        ("--top-k 2", "--top-k means nothing to onnx"),
        ("--allow-dead-channels", "--allow-dead-channels means nothing to onnx"),
    ):
        assert run(f"import onnx net.onnx --name mine {words}") == 2
        assert says in capsys.readouterr().err


def test_files_that_are_none(tmp_path: Path):
    (tmp_path / "text.onnx").write_text("weights 1 2 3")
    for name, says in (("text.onnx", "no readable ONNX file"), ("none.onnx", "no such file")):
        with pytest.raises(CheckpointError, match=says):
            _read(tmp_path / name)


def test_a_graph_that_lies_about_its_weights_is_found_by_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Were an activation mistaken for another, the graph itself would say so."""
    from golden.reference.functions import ACTIVATIONS

    path = export(plain(act_layer="silu"), tmp_path / "net.onnx")
    monkeypatch.setitem(ACTIVATIONS, "silu", lambda x: x)
    monkeypatch.setattr("hwgen.frontend.importers.onnx_graph.network._SAME", 100.0)
    with pytest.raises(
        CheckpointError, match=r"at least 40 are needed(.|\n)*the first block that differs is blocks\.0, "
    ):
        _read(path)


def test_heads_in_another_order_are_the_same_network(tmp_path: Path):
    """Columns of query, key and value interleaved by head, as some frameworks stack them, are put in order."""
    model: Any = plain(num_heads=4)
    path = export(_Interleaved(model), tmp_path / "net.onnx")
    imported = _read(path)
    image = noise()
    with torch.no_grad():
        expected = model(normalised(image)).double().numpy()
    ours = FloatModel(imported.arrays, imported.config).run(image, "class")["heads.class"]
    assert decibels(expected, ours) >= USUAL_DB
    assert imported.config.heads == 4


class _Interleaved(nn.Module):
    """A network whose stacked projection goes head by head: query, key and value of head 0, then those of head 1."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        model = self.model
        x = model._pos_embed(model.patch_embed(image))
        for block in model.blocks:
            x = x + self._attention(block.attn, block.norm1(x))
            x = x + block.mlp(block.norm2(x))
        return model.head(model.norm(x)[:, 0])

    def _attention(self, attention: Any, x: torch.Tensor) -> torch.Tensor:
        heads, width = attention.num_heads, attention.head_dim
        order = np.arange(3 * heads * width).reshape(3, heads, width).transpose(1, 0, 2).ravel()
        weight, bias = attention.qkv.weight[order], attention.qkv.bias[order]
        q, k, v = nn.functional.linear(x, weight, bias).reshape(1, -1, heads, 3, width).permute(3, 0, 2, 1, 4)
        mixed = ((q @ k.transpose(2, 3)) * width**-0.5).softmax(-1) @ v
        return attention.proj(mixed.transpose(1, 2).reshape(1, -1, heads * width))


def test_onnx_is_the_package():
    assert onnx.__version__
