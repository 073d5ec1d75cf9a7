"""Trace: one place in the hierarchy where a simulation finds every finished word and every started instruction."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.interfaces import PC_BITS, ROW_BITS, row_trace
from hwgen.spec.arch import ArchConfig


def gate_trace() -> wiring.Signature:
    """One (token, expert, score) as it enters an expert's queue."""
    return wiring.Signature(
        {"valid": Out(1), "pc": Out(PC_BITS), "token": Out(ROW_BITS), "expert": Out(6), "score": Out(16)}
    )


def start_trace() -> wiring.Signature:
    """A unit begins an instruction."""
    return wiring.Signature({"valid": Out(1), "pc": Out(PC_BITS)})


class Trace(wiring.Component):
    """Gathers what the comparison with the golden machine needs; drives nothing, so synthesis removes it.

    Members (all In): post, rows of the post-processor; norm, rows of LayerNorm; gate, queue entries;
    start_compute, start_norm, start_load, start_io, first cycle of an instruction. The same channels and fields as in
    hwgen/spec/trace.py; simulations read the wires by name (``trace.post__valid``).
    Timing: combinational, no registers.
    """

    def __init__(self, arch: ArchConfig) -> None:
        starts = ("start_compute", "start_norm", "start_load", "start_io")
        super().__init__(
            {
                "post": In(row_trace(16 * arch.output_lanes)),
                "norm": In(row_trace(8 * arch.output_lanes)),
                "gate": In(gate_trace()),
                **{name: In(start_trace()) for name in starts},
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A wire that no one reads but that needs every bit: without it, ports and module would vanish."""
        m = Module()
        sink = Signal()
        m.d.comb += sink.eq(Cat(value for _, _, value in self.signature.flatten(self)).xor())
        return m
