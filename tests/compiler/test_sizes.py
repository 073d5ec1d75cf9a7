"""Large networks on the machines that are made for them: what fits, how it is cut, and what no machine takes."""

from dataclasses import replace

import pytest

from hwgen.compiler.blocks import blocked
from hwgen.compiler.fit import fits, problems
from hwgen.compiler.lower import FACES
from hwgen.compiler.walk import Walk
from hwgen.estimator.resources import GUARD_RAILS, resources
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.presets import MODELS
from hwgen.store.boards import board
from tests.compiler.programs import LARGE_ARCHS

HOMES = [
    ("m3vit-tiny-197", "zcu102"),
    ("deit-small", "zcu102-4x16x32"),
    ("dinov2-small", "zcu102-4x16x32"),
    ("vit-tiny-384", "zcu102-4x16x32"),
    ("deit-tiny", "zcu102-6x16x32"),
    ("deit-base", "zcu102-6x16x32"),
    ("vit-base", "zcu102-8x16x32-base"),
]


@pytest.mark.parametrize(("model", "arch"), HOMES)
def test_what_fits(model: str, arch: str):
    assert fits(MODELS[model].network, ARCHS[arch])


def _parts(model: str, arch: str, layer: str) -> list[int]:
    """Output tiles of the instructions of a layer."""
    network = MODELS[model].network
    walk = blocked(Walk(network=network, task=network.tasks[0], arch=ARCHS[arch]))
    (found,) = (item for item in walk.layers if item.name == layer)
    return [stream.sections[0].out_tiles for stream in FACES[type(found)].streams(walk, found)]


@pytest.mark.parametrize(
    ("model", "arch", "layer", "tiles"),
    [
        ("deit-base", "zcu102-6x16x32", "blocks.0.fc2", [3] * 8),  # three hide six rows of operands
        ("deit-base", "zcu102-8x16x32-base", "blocks.0.fc2", [4] * 6),
        ("deit-base", "zcu102-6x16x32", "blocks.0.fc1", [9, 10] * 4 + [10, 10]),  # half a ring
        ("deit-base", "zcu102-6x16x32", "blocks.0.query", [8] * 3),  # whole heads
        ("deit-small", "zcu102-4x16x32", "blocks.0.fc2", [4] * 3),
        ("deit-small", "zcu102-4x16x32", "blocks.0.query", [12]),
    ],
)
def test_parts(model: str, arch: str, layer: str, tiles: list[int]):
    assert sorted(_parts(model, arch, layer)) == sorted(tiles)


def test_a_dinov2_of_its_training_size_is_refused_by_name():
    """37 x 37 patches and a class token are more than a machine can count."""
    large = replace(MODELS["dinov2-small"], image_height=518, image_width=518)
    found = problems(large.network, ARCHS["zcu102-4x16x32"])
    assert (
        "position: tokens 1,370, this arch takes 1,024; max_tokens reaches 1,024, so that the network fits no machine"
        " with these lanes"
    ) in found


@pytest.mark.parametrize("arch", LARGE_ARCHS)
def test_shares_of_the_part(arch: str):
    """Below the share that usually closes timing; eight rows of multipliers are known to be above it."""
    shares = resources(ARCHS[arch]).against(board("zcu102"))
    above = [name for name, item in shares.items() if item["estimate"] > GUARD_RAILS[name] * item["available"]]
    assert above == (["dsp"] if ARCHS[arch].token_lanes == 8 else [])
