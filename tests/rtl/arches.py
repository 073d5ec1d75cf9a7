"""Small machines for unit tests, and a cycle counter beside the unit under test."""

from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import Component

from hwgen.spec.arch import ArchConfig


def small_arch(token_lanes: int, input_lanes: int, output_lanes: int, **changes: int) -> ArchConfig:
    """A machine whose buffers hold a few dozen words; ``changes`` override single fields."""
    fields: dict[str, int] = {
        "max_tokens": 64,
        "max_inputs": 256,
        "max_channels": 64,
        "max_experts": 8,
        "residual_bytes": 4096,
        "norm_bytes": 2048,
        "activation_bytes": 4096,
        "key_bytes": 4096,
        "value_bytes": 4096,
        "score_words": 128,
        "ring_bytes": 8192,
    }
    fields.update(token_lanes=token_lanes, input_lanes=input_lanes, output_lanes=output_lanes)
    return ArchConfig(name="small", **{**fields, **changes})


def with_cycle(dut: Component) -> tuple[Module, Signal]:
    """``dut`` in a module that also counts cycles."""
    module, cycle = Module(), Signal(32)
    module.submodules.dut = dut
    module.d.sync += cycle.eq(cycle + 1)
    return module, cycle
