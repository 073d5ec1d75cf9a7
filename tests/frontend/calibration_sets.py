"""How much the pictures that set the scales matter: ``python -m tests.frontend.calibration_sets``.

The real weights of Edge-MoE with silent experts on the photograph that comes with them, golden against float behind
every attention and MLP, both tasks: nine sets of generated leaves, and cuts of the two photographs of scikit-learn.
"""

from collections.abc import Iterator

import numpy as np

from hwgen.frontend.ranges import RangeRule, Ranges
from tests.frontend.natural_images import leaves_image, photographs
from tests.frontend.test_real_weights import TARGET_DB, fidelity, real_image, silenced, with_stand_ins

HEIGHT, WIDTH = 128, 256
LEAVES = ((0, 3), (100, 3), (200, 6), (300, 6), (0, 16), (116, 16), (400, 24), (500, 32), (600, 48))  # seed, images
RULES = ("mse", "percentile", "min-max")


def leaves(first: int, count: int) -> list[np.ndarray]:
    """Generated images, by their seeds."""
    return [leaves_image(seed, HEIGHT, WIDTH) for seed in range(first, first + count)]


def runs() -> Iterator[tuple[str, str, list[np.ndarray]]]:
    """Name of a set, rule, images."""
    for first, count in LEAVES:
        yield f"{count} leaves from seed {first}", "mse", leaves(first, count)
    for rule in RULES:
        yield "photographs", rule, photographs(HEIGHT, WIDTH)
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
