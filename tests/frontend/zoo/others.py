"""timm, torchvision, transformers and onnx, where they are installed; else every test that asks for them is skipped."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

WHY = "needs networks of others: pip install -e '.[zoo]'"
SIDE, PATCH, DIM, DEPTH, HEADS, CLASSES = 32, 8, 64, 2, 2, 10
SMALL: dict[str, Any] = {
    "img_size": SIDE,
    "patch_size": PATCH,
    "embed_dim": DIM,
    "depth": DEPTH,
    "num_heads": HEADS,
    "mlp_ratio": 2.0,
    "num_classes": CLASSES,
}


def _without_operators_of_torchvision() -> None:
    """torchvision's wheel does not load beside a torch for CPUs: it declares operators that are not there.

    Vision transformers use none of them.
    """
    library: Any = torch.library
    register = library.register_fake

    def register_fake(name: Any, *args: Any, **options: Any) -> Any:
        if isinstance(name, str) and name.startswith("torchvision::"):
            return lambda function: function
        return register(name, *args, **options)

    library.register_fake = register_fake
    try:
        pytest.importorskip("torchvision", reason=WHY)
    finally:
        library.register_fake = register


_without_operators_of_torchvision()
timm: Any = pytest.importorskip("timm", reason=WHY)
transformers: Any = pytest.importorskip("transformers", reason=WHY)
onnx: Any = pytest.importorskip("onnx", reason=WHY)
vit: Any = pytest.importorskip("timm.models.vision_transformer", reason=WHY)
deit: Any = pytest.importorskip("timm.models.deit", reason=WHY)


def plain(**changes: Any) -> nn.Module:
    """A small ``VisionTransformer`` of timm's with random weights."""
    return random_weights(vit.VisionTransformer(**{**SMALL, **changes}))


def distilled(**changes: Any) -> nn.Module:
    """A small distilled DeiT of timm's with random weights."""
    return random_weights(deit.VisionTransformerDistilled(**{**SMALL, **changes}))


def random_weights(model: nn.Module, seed: int = 0) -> nn.Module:
    """The same module with every parameter large enough to be noticed."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=draw)
            if "norm" in name and name.endswith("weight"):
                parameter.copy_(1 + 0.2 * noise)
            elif parameter.ndim > 1 and "token" not in name and "pos" not in name:
                parameter.copy_(noise * parameter[0].numel() ** -0.5)
            else:
                parameter.copy_(0.5 * noise)
    return model.eval()


class Answer(nn.Module):
    """A network of Hugging Face's with one tensor as its answer."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        """Logits, or the last hidden state."""
        found = self.model(image)
        return found.logits if hasattr(found, "logits") else found.last_hidden_state


def export(model: nn.Module, path: Path, *, newer: bool = False, size: tuple[int, int] = (SIDE, SIDE)) -> Path:
    """A file of ONNX, by torch's older exporter or its newer one."""
    warnings.simplefilter("ignore")  # both exporters tell of what they take for constant
    image = torch.zeros(1, 3, *size)
    if newer:
        pytest.importorskip("onnxscript", reason=WHY)
        torch.onnx.export(model, (image,), str(path), dynamo=True, external_data=False, verbose=False)
    else:
        torch.onnx.export(model, (image,), str(path), dynamo=False, opset_version=17)
    return path


def noise(side: tuple[int, int] = (SIDE, SIDE), seed: int = 0) -> np.ndarray:
    """An image of noise, uint8."""
    return np.random.default_rng(seed).integers(0, 256, (*side, 3), dtype=np.uint8)


def normalised(image: np.ndarray, mean: Any = 0.5, std: Any = 0.5) -> Tensor:
    """As a framework is fed."""
    return torch.from_numpy(((image / 255 - mean) / std).transpose(2, 0, 1)[None].astype(np.float32))


Make = Callable[[], nn.Module]
