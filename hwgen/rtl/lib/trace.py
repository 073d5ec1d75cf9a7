"""Trace: one place in the hierarchy where a simulation finds every finished word and every started instruction."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.spec.arch import ArchConfig
from hwgen.spec.trace import CHANNELS, CONFLICT, SHARED, TraceChannel

_BY_NAME: dict[str, TraceChannel] = {channel.name: channel for channel in CHANNELS}


def channel_signature(name: str, arch: ArchConfig) -> wiring.Signature:
    """``valid``, the fields of a channel of `hwgen.spec.trace` and, for words, ``data`` of output_lanes values."""
    channel = _BY_NAME[name]
    members = {"valid": Out(1)} | {item.name: Out(item.bits) for item in channel.fields}
    if channel.lane_bits:
        members["data"] = Out(channel.lane_bits * arch.output_lanes)
    return wiring.Signature(members)


class Trace(wiring.Component):
    """Gathers what the comparison with the golden machine needs; drives nothing, so synthesis removes it.

    Members: one In per channel of ``hwgen.spec.trace.CHANNELS`` but for ``conflict``, which is made here, where its
    logic goes with the rest: writers: In, for each memory of ``hwgen.spec.trace.SHARED`` whether the post-processor and
    the IO engine write it in this cycle.
    Timing: no registers; a sum of all bits, which no one reads, keeps their names in the Verilog.
    """

    def __init__(self, arch: ArchConfig) -> None:
        given = {name: In(channel_signature(name, arch)) for name in _BY_NAME if name != CONFLICT.name}
        super().__init__({**given, "writers": In(data.ArrayLayout(2, len(SHARED)))})

    def elaborate(self, platform: object) -> Module:
        """A wire that no one reads but that needs every bit: without it, wires and module would vanish."""
        m = Module()
        sink = Signal()
        valid, memories = Signal(name=f"{CONFLICT.name}__valid"), Signal(len(SHARED), name=f"{CONFLICT.name}__memories")
        m.d.comb += [
            memories.eq(Cat(self.writers[index].all() for index in range(len(SHARED)))),
            valid.eq(memories.any()),
            sink.eq(Cat(valid, memories, *(Value.cast(value) for _, _, value in self.signature.flatten(self))).xor()),
        ]
        return m
