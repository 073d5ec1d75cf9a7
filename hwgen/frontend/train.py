"""Train m3vit-micro on seeded scenes and ship it: ``python -m hwgen.frontend.train``.

Each step shows one half of a batch to the segmentation task and the other half to the depth task. The weights that are
kept are a moving average over the steps. They are equalised, quantised and written with their held-out quality to
``hwgen/data``. The same seed gives the same weights on the same machine, torch version and thread count. Scenes are
cached under ``build/``.
"""

# pyright: basic
# (torch is only partly typed)

import argparse
import copy
import hashlib
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from golden.reference.scenes import CALIBRATION_FIRST_SEED, HELD_OUT_FIRST_SEED, TRAIN_FIRST_SEED, draw_scenes
from hwgen.frontend.calibration import calibrate, equalise
from hwgen.frontend.evaluate import float_quality, integer_quality
from hwgen.frontend.m3vit import M3ViT
from hwgen.frontend.quantise import quantise
from hwgen.frontend.scaling import FloatArray
from hwgen.frontend.seeded import calibration_images
from hwgen.frontend.store import CALIBRATION_IMAGES, float_path, package_path, save_float
from hwgen.spec.graph_model import Model, TaskConfig
from hwgen.spec.presets import model_config
from hwgen.store.models import shape_data
from hwgen.store.output_file import placed
from hwgen.store.packages import save_package

HELD_OUT_SCENES = 400


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that decides the trained weights."""

    model: str = "m3vit-micro"  # preset
    seed: int = 0  # of the initial weights and of the order of the scenes
    scenes: int = 20_000  # distinct training scenes; each is also seen mirrored
    steps: int = 3_000  # optimiser steps
    batch: int = 64  # scenes per step, half for each task
    learning_rate: float = 3e-3  # peak, after the warm-up; falls to zero as a cosine
    warmup_steps: int = 400
    weight_decay: float = 0.02
    gate_noise: float = 0.3  # standard deviation on gate logits at the start; falls to zero linearly
    balance_weight: float = 0.02  # of the load-balancing loss
    depth_weight: float = 0.5  # of the depth loss (smooth L1 in metres) against cross-entropy
    average: float = 0.998  # decay of the moving average of the weights
    threads: int = 2


@dataclass(frozen=True)
class Batch:
    """Scenes as tensors: images uint8 [n, h, w, 3], labels uint8 [n, h, w], depths float32 [n, h, w]."""

    images: Tensor
    labels: Tensor
    depths: Tensor

    def pick(self, index: Tensor, *, mirrored: bool) -> "Batch":
        """The scenes at these indices, left and right exchanged when ``mirrored``."""
        parts = [tensor[index] for tensor in (self.images, self.labels, self.depths)]
        return Batch(*(part.flip(2) if mirrored else part for part in parts))


def training_scenes(config: Model, count: int, cache: Path) -> Batch:
    """Draw the training scenes of this network's image size, or read them from the cache folder."""
    path = cache / f"train-{config.image_height}x{config.image_width}-{count}.npz"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        seeds = range(TRAIN_FIRST_SEED, TRAIN_FIRST_SEED + count)
        scenes = draw_scenes(seeds, height=config.image_height, width=config.image_width)
        images, labels = (np.stack([getattr(scene, name) for scene in scenes]) for name in ("image", "segmentation"))
        depths = np.stack([scene.depth for scene in scenes])
        with placed(path) as part:
            np.savez(part, images=images, labels=labels, depths=depths)
    with np.load(path) as data:
        return Batch(*(torch.from_numpy(data[name]) for name in ("images", "labels", "depths")))


def to_pixels(output: Tensor, config: Model, task: TaskConfig) -> Tensor:
    """Head outputs [batch, patches, outputs] of a task with one sub-cell per pixel: [batch, height, width, classes]."""
    grid = output.view(-1, config.patch_rows, config.patch_columns, task.cell, task.cell, task.classes)
    return grid.permute(0, 1, 3, 2, 4, 5).reshape(-1, config.image_height, config.image_width, task.classes)


def losses(model: M3ViT, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Cross-entropy of the first half of the batch, depth loss of the second half, load-balancing loss of both."""
    config, half = model.config, batch.images.shape[0] // 2
    logits = to_pixels(model(batch.images[:half], "seg"), config, config.task("seg"))
    entropy = functional.cross_entropy(logits.flatten(0, 2), batch.labels[:half].flatten().long())
    balance = model.balance_loss()
    depths = to_pixels(model(batch.images[half:], "depth"), config, config.task("depth"))[..., 0]
    distance = functional.smooth_l1_loss(depths, batch.depths[half:], beta=0.5)
    return entropy, distance, balance + model.balance_loss()


def _schedule(train: TrainConfig) -> Iterator[tuple[int, float, float]]:
    """Step, learning rate and gate noise."""
    for step in range(train.steps):
        done = step / train.steps
        warm = min((step + 1) / train.warmup_steps, 1.0)
        yield step, train.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * done)), train.gate_noise * (1.0 - done)


@torch.no_grad()
def _blend(average: M3ViT, model: M3ViT, decay: float) -> None:
    """Move the averaged weights towards the current ones."""
    for kept, current in zip(average.parameters(), model.parameters(), strict=True):
        kept.lerp_(current, 1.0 - decay)


def train(config: TrainConfig, scenes: Batch) -> M3ViT:
    """Train from scratch; returns the averaged model and prints the losses as they fall."""
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    model = M3ViT(model_config(config.model))
    model.set_output_bias("depth", float(scenes.depths.mean()))
    average = copy.deepcopy(model)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=config.weight_decay, fused=True
    )
    for step, rate, noise in _schedule(config):
        for group in optimiser.param_groups:
            group["lr"] = rate
        model.set_gate_noise(noise)
        index = torch.from_numpy(rng.integers(0, config.scenes, config.batch))
        entropy, distance, balance = losses(model, scenes.pick(index, mirrored=step % 2 == 1))
        optimiser.zero_grad(set_to_none=True)
        (entropy + config.depth_weight * distance + config.balance_weight * balance).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        _blend(average, model, min(config.average, (step + 1) / (step + 10)))
        if (step + 1) % 250 == 0:
            print(f"step {step + 1}: entropy {entropy:.4f} depth {distance:.4f} balance {balance:.3f}", flush=True)
    return average


def float_model(model: M3ViT) -> dict[str, FloatArray]:
    """Equalised float arrays of a trained torch model."""
    raw = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    observed = calibrate(raw, model.config, calibration_images(model.config, CALIBRATION_IMAGES))
    return equalise(raw, model.config, observed)[0]


def publish(arrays: dict[str, FloatArray], config: Model, info: dict[str, Any], folder: Path) -> None:
    """Write the float model and the quantised package made from that very file, each with its held-out quality."""
    first = HELD_OUT_FIRST_SEED
    held_out = draw_scenes(range(first, first + HELD_OUT_SCENES), height=config.image_height, width=config.image_width)
    scenes = {"held_out_scenes": HELD_OUT_SCENES, "held_out_first_seed": first}
    scored = asdict(float_quality(arrays, config, held_out))
    float_file = folder / float_path(config.name).name
    save_float(float_file, arrays, config, {**info, **scored, **scenes})
    observed = calibrate(arrays, config, calibration_images(config, CALIBRATION_IMAGES))
    source = {
        "weights": float_file.name,
        "weights_sha256": hashlib.sha256(float_file.read_bytes()).hexdigest(),
        "calibration_first_seed": CALIBRATION_FIRST_SEED,
    }
    package = quantise(arrays, config, observed, provenance={**source, **scenes})
    quantised = asdict(integer_quality(package, held_out))
    package = replace(package, provenance={**package.provenance, **quantised})
    save_package(package, folder / package_path(config.name).name)
    print(f"wrote {float_file.parent}\nfloat {scored}\nquantised {quantised}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=TrainConfig.steps)
    parser.add_argument("--scenes", type=int, default=TrainConfig.scenes)
    parser.add_argument("--seed", type=int, default=TrainConfig.seed)
    parser.add_argument("--output", type=Path, default=float_path(TrainConfig.model).parent)
    parser.add_argument("--cache", type=Path, default=Path("build/scenes"))
    options = parser.parse_args()
    settings = TrainConfig(steps=options.steps, scenes=options.scenes, seed=options.seed)
    config = model_config(settings.model)
    started, processor_started = time.monotonic(), time.process_time()
    model = train(settings, training_scenes(config, settings.scenes, options.cache))
    info = {
        "training": asdict(settings),
        "torch": torch.__version__,
        "training_seconds": round(time.monotonic() - started),
        "training_processor_seconds": round(time.process_time() - processor_started),
    }
    publish(float_model(model), config, {"config": shape_data(config), **info}, options.output)


if __name__ == "__main__":
    main()
