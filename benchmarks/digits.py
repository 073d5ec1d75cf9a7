"""A trained classifier from outside, top-1 as float model, golden model and Verilog: ``python -m benchmarks.digits``.

A small ViT learns scikit-learn's handwritten digits (1,797 pictures of 8 x 8, drawn four times as large), which come
with that package: nothing is downloaded. It is saved under timm's key names and goes the way of any checkpoint:
``hwgen import timm`` with pictures of its own, ``hwgen evaluate --data`` on those that it has not seen.
"""

# pyright: basic
# (torch and scikit-learn are only partly typed)

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from torch.nn import functional

from hwgen.frontend.exporters.states import FORMATS, timm_state
from hwgen.frontend.m3vit import M3ViT
from hwgen.spec.model import ModelConfig, TaskConfig

NAME = "digits"
SIDE = 4  # pixels of a picture to one of the data set
HELD_OUT = 360  # pictures that training does not see
BATCH = 32  # pictures of a step
POSITION = 25.0  # factor of the initial position table
CALIBRATION = 32  # pictures that set the scales
CONFIG = ModelConfig(
    name=NAME,
    image_height=32,
    image_width=32,
    patch=8,
    dim=64,
    depth=3,
    heads=2,
    mlp_hidden=128,
    tasks=(TaskConfig(name="class", kind="classification", classes=10),),
)


@dataclass(frozen=True, kw_only=True)
class Digits:
    """Pictures uint8 [n, 32, 32, 3] and what they show, in an order that is always the same."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def digits() -> tuple[Digits, Digits]:
    """Those to learn from, and those that are held out."""
    found: Any = load_digits()
    grey = np.rint(found.images * (255 / 16)).astype(np.uint8)
    images = np.repeat(np.repeat(grey, SIDE, axis=1), SIDE, axis=2)[..., None].repeat(3, axis=3)
    order = np.random.default_rng(0).permutation(len(images))
    parts = order[:-HELD_OUT], order[-HELD_OUT:]
    first, second = (Digits(images=images[part], labels=found.target[part]) for part in parts)
    return first, second


def trained(data: Digits, epochs: int) -> M3ViT:
    """A network that has seen every picture ``epochs`` times."""
    torch.manual_seed(0)
    model = M3ViT(CONFIG)
    with torch.no_grad():  # as large as embedded patches: so few steps would not tell small ones from each other
        model.get_parameter("position").mul_(POSITION)
    steps = epochs * -(-len(data.images) // BATCH)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=2e-3, total_steps=steps)
    images, labels = torch.from_numpy(data.images), torch.from_numpy(data.labels)
    model.train()
    for _ in range(epochs):
        for part in torch.randperm(len(images)).split(BATCH):
            loss = functional.cross_entropy(model(images[part], "class")[:, 0], labels[part])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return model.eval()


def save_checkpoint(model: M3ViT, path: Path) -> None:
    """The weights as timm names them."""
    arrays = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    state = timm_state(arrays, CONFIG, FORMATS["timm"].pixels)
    np.savez(path, allow_pickle=False, **state)


def save_pictures(data: Digits, folder: Path) -> None:
    """FOLDER/CLASS/NUMBER.png"""
    for number, (image, label) in enumerate(zip(data.images, data.labels, strict=True)):
        place = folder / str(label) / f"{number:04}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place)


def measure(folder: Path, *, epochs: int, board: str, rtl_images: int) -> dict[str, Any]:
    """Train, import and evaluate in ``folder``; what ``hwgen evaluate --json`` says."""
    learned, held_out = digits()
    checkpoint, package, report = folder / "checkpoint.npz", folder / f"{NAME}.safetensors", folder / "out.json"
    save_checkpoint(trained(learned, epochs), checkpoint)
    calibration = folder / "calibration"
    calibration.mkdir()
    for number, image in enumerate(learned.images[:CALIBRATION]):
        Image.fromarray(image).save(calibration / f"{number:02}.png")
    save_pictures(held_out, folder / "held-out")
    importing = ["import", "timm", str(checkpoint), "--name", NAME, "--heads", str(CONFIG.heads)]
    importing += ["--output", str(folder), "--calib", str(calibration), "--calib-images", str(CALIBRATION)]
    evaluating = ["evaluate", str(package), "--data", str(folder / "held-out"), "--board", board]
    evaluating += ["--rtl-images", str(rtl_images), "--json", str(report)]
    for command in (importing, evaluating):
        _run(command)
    return json.loads(report.read_text(encoding="utf-8"))


def _run(command: list[str]) -> None:
    """A command of the tool; CalledProcessError when it fails."""
    subprocess.run([sys.executable, "-m", "hwgen", *command], check=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Top-1 of a trained classifier, float, golden and Verilog.")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--board", default="sim")
    parser.add_argument("--rtl-images", type=int, default=20)
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    with tempfile.TemporaryDirectory() as place:
        measure(Path(place), epochs=given.epochs, board=given.board, rtl_images=given.rtl_images)
