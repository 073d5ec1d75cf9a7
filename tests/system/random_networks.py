"""Random shapes of small networks: every dimension that the estimate of cycles depends on, drawn from a seed."""

import numpy as np

from hwgen.spec.arch import ArchConfig
from hwgen.spec.model import ModelConfig, TaskConfig
from hwgen.spec.weight_bits import with_weight_bits

TASK = "task"
_MOST_PATCHES = 64


class _Draw:
    """Seeded choices."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def __call__(self, *choices: int) -> int:
        return choices[int(self._rng.integers(len(choices)))]

    def chance(self, share: float) -> bool:
        return bool(self._rng.random() < share)


def _task(draw: _Draw) -> TaskConfig:
    """A class token's or every patch's values, few or many."""
    if draw.chance(0.3):
        return TaskConfig(name=TASK, kind="classification", classes=draw(1, 7, 21, 150, 1000))
    return TaskConfig(name=TASK, kind="segmentation", classes=draw(1, 3, 21, 64), cell=draw(1, 2, 4))


def _image(draw: _Draw) -> tuple[int, int, int, int]:
    """Height, width, patch and channels; a row of pixels is a multiple of 16 bytes."""
    patch = draw(8, 8, 8, 16)
    columns = draw(2, 4, 6, 8) if patch == 8 else draw(1, 2, 3, 4, 5, 6, 7, 8)
    rows = min(draw(1, 2, 3, 4, 5, 6, 7, 8), _MOST_PATCHES // columns)
    return patch * rows, patch * columns, patch, draw(1, 3) if patch == 8 else 1


def random_config(seed: int, arch: ArchConfig) -> ModelConfig:
    """A shape that may be too large for ``arch``."""
    draw = _Draw(seed)
    height, width, patch, channels = _image(draw)
    depth, dim = draw(1, 2, 3, 4), draw(8, 16, 24, 32, 40, 48, 56, 64)
    moe = tuple(block for block in range(depth) if draw.chance(0.5))
    experts = draw(1, 2, 3, 4, 6, 8, arch.max_experts) if moe else 0
    config = ModelConfig(
        name=f"random-{seed}",
        image_height=height,
        image_width=width,
        patch=patch,
        dim=dim,
        depth=depth,
        heads=draw(*(heads for heads in (1, 2, 3, 4, 6, 8) if dim % heads == 0)),
        mlp_hidden=draw(8, 16, 24, 64, 72, 128, 200, 256),
        moe_blocks=moe,
        experts=experts,
        top_k=min(draw(1, 1, 2, 2, 3, 4, 8), experts),
        expert_hidden=draw(8, 16, 24, 64, 128, 256) if moe else 0,
        tasks=(_task(draw),),
        channels=channels,
        gate_renormalise=draw.chance(0.2),
    )
    return with_weight_bits(config, "*=4") if draw.chance(0.25) else config
