"""Trace: one place in the hierarchy where a simulation finds every finished word and every started instruction."""

from amaranth.hdl import Module, Signal
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
    start_compute, start_norm, start_load, start_io, first cycle of an instruction.
    Timing: combinational, no registers but one that keeps the instance from being empty.
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
        """A register that no one reads."""
        m = Module()
        active = Signal()
        m.d.sync += active.eq(self.post.valid | self.norm.valid | self.gate.valid | self.start_compute.valid)
        return m
