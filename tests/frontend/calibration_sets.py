"""How much the pictures that set the scales matter: ``python -m tests.frontend.calibration_sets``.

The real weights of Edge-MoE with silent experts on the photograph that comes with them, golden against float behind
every attention and MLP, both tasks: nine sets of generated leaves, and cuts of the two photographs of scikit-learn.
"""

# pyright: basic
# (scikit-learn is only partly typed)

from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from hwgen.frontend.ranges import RangeRule, Ranges
from tests.frontend.natural_images import leaves_image
from tests.frontend.test_real_weights import TARGET_DB, fidelity, real_image, silenced, with_stand_ins

HEIGHT, WIDTH = 128, 256
LEAVES = ((0, 3), (100, 3), (200, 6), (300, 6), (0, 16), (116, 16), (400, 24), (500, 32), (600, 48))  # seed, images
RULES = ("mse", "percentile", "min-max")


def leaves(first: int, count: int) -> list[np.ndarray]:
    """Generated images, by their seeds."""
    return [leaves_image(seed, HEIGHT, WIDTH) for seed in range(first, first + count)]


def photographs() -> list[np.ndarray]:
    """Two pictures of 640 x 427 pixels, cut into whole images."""
    found: Any = load_sample_images()
    return [cut for picture in found.images for cut in cuts(picture)]


def cuts(picture: np.ndarray) -> list[np.ndarray]:
    """Whole images side by side, from the upper left corner on; once more of the picture at half its size."""
    half = np.asarray(Image.fromarray(picture).reduce(2))
    return [
        np.ascontiguousarray(source[top : top + HEIGHT, left : left + WIDTH])
        for source in (picture, half)
        for top in range(0, source.shape[0] - HEIGHT + 1, HEIGHT)
        for left in range(0, source.shape[1] - WIDTH + 1, WIDTH)
    ]


def runs() -> Iterator[tuple[str, str, list[np.ndarray]]]:
    """Name of a set, rule, images."""
    for first, count in LEAVES:
        yield f"{count} leaves from seed {first}", "mse", leaves(first, count)
    for rule in RULES:
        yield "photographs", rule, photographs()
    for rule in RULES[1:]:
        yield "16 leaves from seed 0", rule, leaves(0, 16)
    yield "the photograph itself", "mse", [real_image()]


def main() -> None:
    """A line a set."""
    standing = with_stand_ins()
    silent = silenced(standing)
    networks = [(name, rule, silent, images) for name, rule, images in runs()]
    networks.append(("16 leaves from seed 0, stand-in experts", "mse", standing, leaves(0, 16)))
    for name, rule, network, images in networks:
        found = fidelity(network, real_image(), images, Ranges(rule=RangeRule(rule=rule)))
        worst = min(found.ratios, key=found.ratios.__getitem__)
        reached = sum(ratio >= TARGET_DB for ratio in found.ratios.values())
        print(
            f"{name} | {rule} | {found.ratios[worst]:.1f} dB ({worst}) | {reached} of {len(found.ratios)} |"
            f" {found.same.mean():.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
