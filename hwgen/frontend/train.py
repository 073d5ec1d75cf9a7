"""Train m3vit-micro on seeded scenes: ``python -m hwgen.frontend.train``.

The same seed, torch version and thread count give the same weights. Each step shows one half of a batch to the segmentation
task and the other half to the depth task; the weights that are kept are an exponential moving average over the steps.
"""

import argparse
import copy
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from golden.reference.scenes import HELD_OUT_FIRST_SEED, TRAIN_FIRST_SEED, draw_scenes
from hwgen.frontend.m3vit import M3ViT
from hwgen.spec.model import ModelConfig, TaskConfig
from hwgen.spec.presets import model_config


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that decides the trained weights."""

    model: str = "m3vit-micro"  # preset
    seed: int = 0  # of the initial weights and of the order of the scenes
    scenes: int = 40_000  # distinct training scenes; each is also seen mirrored
    steps: int = 9_000  # optimiser steps
    batch: int = 64  # scenes per step, half for each task
    learning_rate: float = 3e-3  # peak, after the warm-up
    warmup_steps: int = 400
    weight_decay: float = 0.02
    gate_noise: float = 0.3  # standard deviation on gate logits; falls to zero over the run
    balance_weight: float = 0.02  # of the load-balancing loss
    depth_weight: float = 0.5  # of the depth loss against cross-entropy
    average: float = 0.998  # decay of the moving average of the weights
    threads: int = 2


def to_pixels(output: Tensor, config: ModelConfig, task: TaskConfig) -> Tensor:
    """Head outputs [batch, patches, outputs] to [batch, height, width, classes]; one value per sub-cell."""
    rows, columns = config.patch_rows, config.patch_columns
    grid = output.view(-1, rows, columns, task.cell, task.cell, task.classes)
    return grid.permute(0, 1, 3, 2, 4, 5).reshape(-1, rows * task.cell, columns * task.cell, task.classes)


@dataclass(frozen=True)
class SceneSet:
    """Scenes as tensors: images uint8 [n, h, w, 3], labels uint8 [n, h, w], depths float32 [n, h, w]."""

    images: Tensor
    labels: Tensor
    depths: Tensor


def scene_set(first_seed: int, count: int, cache: Path) -> SceneSet:
    """Draw scenes, or read them from the cache folder."""
    path = cache / f"scenes-{first_seed}-{count}.npz"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        scenes = draw_scenes(range(first_seed, first_seed + count))
        np.savez(
            path,
            images=np.stack([scene.image for scene in scenes]),
            labels=np.stack([scene.segmentation for scene in scenes]),
            depths=np.stack([scene.depth for scene in scenes]).astype(np.float16),
        )
    data = np.load(path)
    return SceneSet(
        torch.from_numpy(data["images"]),
        torch.from_numpy(data["labels"]),
        torch.from_numpy(data["depths"].astype(np.float32)),
    )


def pooled_iou(predicted: NDArray[np.integer], truth: NDArray[np.integer], classes: int) -> float:
    scores = []
    for c in range(classes):
        union = np.count_nonzero((predicted == c) | (truth == c))
        scores.append(np.count_nonzero((predicted == c) & (truth == c)) / max(union, 1))
    return float(np.mean(scores))


@torch.no_grad()
def evaluate(model: M3ViT, scenes: SceneSet) -> tuple[float, float, float]:
    model.eval()
    seg, dep = model.config.task("seg"), model.config.task("depth")
    labels, depths = [], []
    for part in scenes.images.split(256):
        labels.append(to_pixels(model(part, "seg"), model.config, seg).argmax(-1))
        depths.append(to_pixels(model(part, "depth"), model.config, dep)[..., 0])
    model.train()
    depth = torch.cat(depths)
    rmse = (depth - scenes.depths).square().mean().sqrt().item()
    base = (scenes.depths - scenes.depths.mean()).square().mean().sqrt().item()
    return pooled_iou(torch.cat(labels).numpy(), scenes.labels.numpy(), seg.classes), rmse, base


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=TrainConfig.steps)
    parser.add_argument("--lr", type=float, default=TrainConfig.learning_rate)
    parser.add_argument("--batch", type=int, default=TrainConfig.batch)
    parser.add_argument("--scenes", type=int, default=TrainConfig.scenes)
    parser.add_argument("--out", type=Path, default=Path("/tmp/fe/ck.pt"))
    a = parser.parse_args()
    tc = TrainConfig(steps=a.steps, learning_rate=a.lr, batch=a.batch, scenes=a.scenes)
    torch.set_num_threads(tc.threads)
    torch.manual_seed(tc.seed)
    rng = np.random.default_rng(tc.seed)
    t0 = time.time()
    data = scene_set(TRAIN_FIRST_SEED, tc.scenes, Path("build/scenes"))
    held = scene_set(HELD_OUT_FIRST_SEED, 300, Path("build/scenes"))
    print("data", time.time() - t0, flush=True)
    model = M3ViT(model_config(tc.model))
    with torch.no_grad():
        model.heads["depth"].bias.fill_(3.9)
    print(sum(p.numel() for p in model.parameters()))
    avg = copy.deepcopy(model)
    opt = torch.optim.AdamW(
        model.parameters(), lr=tc.learning_rate, weight_decay=tc.weight_decay, betas=(0.9, 0.99), fused=True
    )
    seg, dep = model.config.task("seg"), model.config.task("depth")
    half = tc.batch // 2
    run = [0.0] * 3
    for step in range(tc.steps):
        frac = step / tc.steps
        lr = tc.learning_rate * min((step + 1) / tc.warmup_steps, 1.0) * (0.5 + 0.5 * math.cos(math.pi * frac))
        for g in opt.param_groups:
            g["lr"] = lr
        model.set_gate_noise(tc.gate_noise * (1 - frac))
        pick = torch.from_numpy(rng.integers(0, tc.scenes, tc.batch))
        images, labels, depths = data.images[pick], data.labels[pick], data.depths[pick]
        if step % 2:
            images, labels, depths = images.flip(2), labels.flip(2), depths.flip(2)
        out = to_pixels(model(images[:half], "seg"), model.config, seg)
        ce = F.cross_entropy(out.flatten(0, 2), labels[:half].flatten().long())
        bal = model.balance_loss()
        pd = to_pixels(model(images[half:], "depth"), model.config, dep)[..., 0]
        ld = F.smooth_l1_loss(pd, depths[half:], beta=0.5)
        bal = bal + model.balance_loss()
        loss = ce + tc.depth_weight * ld + tc.balance_weight * bal
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        decay = min(tc.average, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(avg.parameters()), list(model.parameters()), 1 - decay)
        run = [r + v.item() for r, v in zip(run, (ce, ld, bal))]
        if (step + 1) % 200 == 0:
            print(step + 1, f"{time.time() - t0:.0f}s", [round(r / 200, 4) for r in run], flush=True)
            run = [0.0] * 3
        if (step + 1) % 1000 == 0 or step + 1 == tc.steps:
            print("  held out", evaluate(avg, held), flush=True)
            torch.save(avg.state_dict(), a.out)


if __name__ == "__main__":
    main()
