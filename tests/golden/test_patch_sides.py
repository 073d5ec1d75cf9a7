"""Patches of any side and images of any width: padded by the host, and every value of the network stays."""

from dataclasses import replace

import pytest

from hwgen.compiler.compile import compile_model
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.layers import Patches
from hwgen.spec.model import TaskConfig
from hwgen.spec.weight_bits import with_weight_bits
from tests.golden.random_package import MINI, random_package
from tests.golden.test_random_graphs import check_compiled

CLASS = TaskConfig(name="class", kind="classification", classes=5)
ROOMY = replace(ARCHS["sim"], name="roomy", max_inputs=3072, ring_bytes=256 * 1024, activation_bytes=2**16)
SIDES = {  # side, rows and columns of patches, channels -> side in the machine
    (1, 3, 4, 3): 8,
    (2, 5, 6, 3): 8,
    (2, 2, 5, 1): 16,  # an odd number of patches of 8 pixels is no whole beat
    (3, 3, 9, 1): 16,
    (5, 2, 7, 3): 16,
    (7, 4, 2, 3): 8,
    (7, 1, 1, 2): 16,
    (8, 2, 3, 1): 16,
    (8, 2, 4, 3): 8,
    (14, 2, 3, 3): 16,
    (16, 1, 3, 1): 16,
    (17, 1, 2, 1): 32,
    (24, 2, 1, 1): 32,
    (32, 1, 2, 3): 32,
}


@pytest.mark.parametrize("shape", SIDES, ids=str)
def test_the_same_values(shape: tuple[int, int, int, int]):
    """The last patch of a row and of a column, one patch, one channel; also with four-bit weights of the embedding."""
    patch, rows, columns, channels = shape
    config = replace(
        MINI,
        name=f"patch-{patch}",
        patch=patch,
        image_height=rows * patch,
        image_width=columns * patch,
        channels=channels,
        depth=1,
        moe_blocks=(),
        tasks=(CLASS,),
    )
    (layer,) = (layer for layer in config.network.layers if isinstance(layer, Patches))
    assert layer.side == SIDES[shape]
    for model in (config, with_weight_bits(config, "patch_embed=4")):
        check_compiled(compile_model(random_package(model, patch), ROOMY), patch)
