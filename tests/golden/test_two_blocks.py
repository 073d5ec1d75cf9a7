"""Two blocks of ViT-B on the golden machine: layers in parts, blocks of queries, 768 channels."""

from dataclasses import replace

from hwgen.compiler.compile import compile_model
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.isa import Opcode
from hwgen.spec.presets import MODELS
from tests.golden.random_package import random_package
from tests.golden.test_random_graphs import check_compiled


def test_two_blocks_of_vit_base():
    """Every value of every tensor, on the machine that has one copy of the residual stream."""
    base = MODELS["vit-base"]
    model = replace(base, name="two-blocks", depth=2, tasks=(replace(base.tasks[0], classes=10),))
    compiled = compile_model(random_package(model, 1), ARCHS["zcu102-6x16x32"])
    listing = compiled.programs["class"].listing
    parts = [item for item in listing if item.opcode is Opcode.LINEAR and item.name.startswith("blocks.1.fc2.tiles")]
    blocks = [item for item in listing if item.opcode is Opcode.SCORES and item.name.startswith("blocks.1.scores")]
    assert len(parts) == 8
    assert len(blocks) == 2 * 12
    assert sum(item.fields["rows"] for item in blocks) == 12 * 197
    check_compiled(compiled, 1)
