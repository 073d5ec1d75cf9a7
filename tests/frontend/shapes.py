"""Small network shapes and images for the tests of the front end."""

import numpy as np
from numpy.typing import NDArray

from hwgen.spec.model import ModelConfig, TaskConfig

SMALL = ModelConfig(
    name="small",
    image_height=16,
    image_width=32,
    patch=8,
    dim=32,
    depth=3,
    heads=4,
    mlp_hidden=48,
    moe_blocks=(0, 2),
    experts=5,
    top_k=3,
    expert_hidden=24,
    gate_renormalise=True,
    tasks=(
        TaskConfig(name="seg", kind="segmentation", classes=3, cell=2),
        TaskConfig(name="class", kind="classification", classes=7),
    ),
)


def noise_image(config: ModelConfig, seed: int = 0) -> NDArray[np.uint8]:
    """Uniform noise that holds every pixel code, 0 included."""
    shape = (config.image_height, config.image_width, config.channels)
    image = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    image[0, 0] = 0
    return image
