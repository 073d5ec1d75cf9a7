"""Short lists of layers, by hand."""

from collections import defaultdict
from dataclasses import replace

from hwgen.compiler.allocate import allocate
from hwgen.compiler.hazards import checked
from hwgen.compiler.lower import lower
from hwgen.compiler.lower.writer import Writer
from hwgen.compiler.step import Step
from hwgen.compiler.walk import Walk
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.constructors import Builder, Embed, Heads
from hwgen.spec.graph import Network
from hwgen.spec.layers import Gelu
from hwgen.spec.model import TaskConfig

SIM = ARCHS["sim"]
TASK = TaskConfig(name="map", kind="depth", classes=1)


def started() -> Builder:
    """Eight tokens of sixteen channels."""
    to = Builder((TASK,))
    Embed(height=16, width=32, patch=8, dim=16, class_token="none").add_to(to)
    return to


def walked(to: Builder) -> Walk:
    Heads().add_to(to)
    return Walk(network=Network(tuple(to.layers), ("map",)), task="map", arch=SIM)


def adapter(to: Builder, name: str, source: str) -> None:
    """From a LayerNorm to the residual stream."""
    to.linear(f"{name}.down", source, (16, 8), Gelu(), "mlp")
    to.linear(f"{name}.up", f"{name}.down", (8, 16), to.added(), "mlp")


def lowered(walk: Walk) -> list[Step]:
    """Its instructions without loads, and without the waits that the check adds."""
    return lower(Writer(walk, allocate(walk).places, lambda _: [1] * 64, defaultdict(int)))


def ordered(walk: Walk) -> dict[str, Step]:
    """Its instructions by name, with all waits; there must be no hazard."""
    program = checked(lowered(walk), walk.arch)
    assert program.hazards == []
    return {step.name: step for step in program.steps}


def changed(steps: list[Step], name: str, **fields: int) -> list[Step]:
    """Instructions of which one has other fields."""
    assert [step.name for step in steps].count(name) == 1
    return [replace(step, fields={**step.fields, **fields}) if step.name == name else step for step in steps]
