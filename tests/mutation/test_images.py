"""One wrong constant or address in what the RTL reads: the comparison of a whole image finds it and names the place.

Golden runs the true package; the RTL is given a memory image in which a few bytes differ.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from golden.network import run_network
from hwgen.compiler.compile import Compiled, compile_model
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.encoding import encode, seal
from hwgen.spec.isa import INSTRUCTION_BYTES, Destination, Opcode
from sim.compare import Comparison, compare
from tests.system.machines import run_machine, sim_options
from tests.system.networks import NETWORKS

ARCH = ARCHS["sim"]
NETWORK = NETWORKS["top-2"]
TASK = "seg"
WATCHDOG_CYCLES = 100_000
Damage = Callable[[Compiled, np.ndarray], None]


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """Damage to the image, and the first tensor that must be wrong."""

    damage: Damage
    tensor: str


def byte(region: str, offset: int, flip: int) -> Damage:
    """Bits of one byte of a region."""

    def damage(compiled: Compiled, image: np.ndarray) -> None:
        image[compiled.entry(region).offset + offset] ^= flip

    return damage


def base(table: str, entry: int, flip: int) -> Damage:
    """Bits of the base of a table entry."""
    return byte(f"tables.{table}", 4 * entry + 1, flip >> 8)


def all_bases(table: str, flip: int) -> Damage:
    """Low bits of every base of a table."""

    def damage(compiled: Compiled, image: np.ndarray) -> None:
        region = compiled.entry(f"tables.{table}")
        image[region.offset : region.offset + region.bytes : 4] ^= flip

    return damage


def field(opcode: Opcode, name: str, change: int, **where: int) -> Damage:
    """A field of the first instruction like this is larger by ``change``."""

    def damage(compiled: Compiled, image: np.ndarray) -> None:
        program = compiled.programs[TASK]
        for entry in program.listing:
            if entry.opcode is opcode and all(entry.fields[key] == value for key, value in where.items()):
                word = encode(opcode, **{**entry.fields, name: entry.fields[name] + change})
                at = program.offset + entry.index * INSTRUCTION_BYTES
                image[at : at + INSTRUCTION_BYTES] = np.frombuffer(seal(word, entry.index), np.uint8)
                return
        raise LookupError(f"no {opcode.name} with {where}")

    return damage


PARAM = 8 * ARCH.output_lanes  # bytes of a parameter entry
HIDDEN, QUERY, GATE = ({"destination": int(item)} for item in (Destination.HIDDEN, Destination.QUERY, Destination.GATE))

WRONG: dict[str, Wrong] = {
    "exp2-entry": Wrong(damage=base("exp2", 7, 0x800), tensor="blocks.0.context"),
    "gelu-table": Wrong(damage=all_bases("gelu", 0x80), tensor="blocks.0.hidden"),
    "reciprocal-table": Wrong(damage=all_bases("reciprocal", 0x80), tensor="blocks.0.context"),
    "rsqrt-table": Wrong(damage=all_bases("rsqrt", 0x80), tensor="blocks.0.norm1"),
    "gate-entry-of-the-largest": Wrong(damage=base("gate_exp2", 0, 0x100), tensor="blocks.1.expert_scores"),
    "position": Wrong(damage=byte("position", 64, 1), tensor="patch_embed"),
    "gain": Wrong(damage=byte("blocks.0.norm1", 8 * 5 + 5, 4), tensor="blocks.0.norm1"),
    "bias": Wrong(damage=byte("blocks.0.key", 8 * 3 + 1, 0x40), tensor="blocks.0.key"),
    "multiplier": Wrong(damage=byte("blocks.0.fc2", 8 * 3 + 5, 0x40), tensor="blocks.0.mlp"),
    "weight": Wrong(damage=byte("blocks.0.value", 2 * PARAM + 77, 0x20), tensor="blocks.0.value"),
    "gate-weight": Wrong(damage=byte(f"blocks.1.gate.{TASK}", PARAM + 2, 0x40), tensor="blocks.1.gate"),
    "expert-weight": Wrong(damage=byte("blocks.1.experts.1", 4 * PARAM + 40, 0x40), tensor="blocks.1.moe"),
    "head-shift": Wrong(damage=byte(f"heads.{TASK}", 6, 1), tensor=f"heads.{TASK}"),
    "score-bias": Wrong(damage=field(Opcode.SCORES, "bias", 30_000), tensor="blocks.0.scores"),
    "gelu-shift": Wrong(damage=field(Opcode.LINEAR, "gelu_shift", 1, **HIDDEN), tensor="blocks.0.hidden"),
    "zero-point": Wrong(damage=field(Opcode.LINEAR, "zero", 1, **HIDDEN), tensor="blocks.0.hidden"),
    "source-one-word-on": Wrong(damage=field(Opcode.LINEAR, "src_base", 1, **QUERY), tensor="blocks.0.query"),
    "key-one-word-on": Wrong(damage=field(Opcode.SCORES, "key_offset", 1), tensor="blocks.0.scores"),
    "value-one-word-on": Wrong(damage=field(Opcode.CONTEXT, "value_offset", 1), tensor="blocks.0.context"),
    "renormalised": Wrong(
        damage=field(Opcode.LINEAR, "renormalise", 1, destination=int(Destination.GATE)),
        tensor="blocks.1.expert_scores",
    ),
}


def _compare(compiled: Compiled) -> Comparison:
    options = sim_options(watchdog_cycles=WATCHDOG_CYCLES)
    (run,) = run_machine(compiled, [NETWORK.image], [TASK], options=options).runs
    assert run.trace is not None
    golden = run_network(NETWORK.package, NETWORK.image, TASK)
    return compare(run.trace, compiled.programs[TASK].listing, golden, run.data)


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    return compile_model(NETWORK.package, ARCH)


def test_without_damage(compiled: Compiled):
    assert _compare(compiled).good


@pytest.mark.parametrize("name", WRONG)
def test_is_found(name: str, compiled: Compiled):
    image = compiled.image.copy()
    WRONG[name].damage(compiled, image)
    assert 1 <= np.count_nonzero(image != compiled.image) < 400
    comparison = _compare(replace(compiled, image=image))
    assert comparison.mismatches > 0
    assert comparison.first is not None
    assert comparison.first.tensor == WRONG[name].tensor, str(comparison.first)
    assert comparison.first.cycle is not None
    assert comparison.first.got != comparison.first.want
