"""B operand: chooses the array's second operand among weight ring, keys and values."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.interfaces import READ_LATENCY
from hwgen.rtl.ops import OpKind
from hwgen.spec.arch import ArchConfig


class BOperand(wiring.Component):
    """Lays the words of the chosen source out as input_lanes x output_lanes.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    source: In(OpKind), sub: In, chunk in the key word; both in the cycle of the read addresses.
    weights: In(Pi*Po bytes), ring word. keys: In(Po banks of a word). values: In(Pi banks of a word).
    b: Out(Pi x Po int8).

    Timing: ``latency`` = READ_LATENCY + 1 cycles from ``source`` to ``b``; the data inputs come READ_LATENCY after it.
    """

    latency = READ_LATENCY + 1

    def __init__(self, arch: ArchConfig) -> None:
        word = 8 * arch.output_lanes
        super().__init__(
            {
                "source": In(2),
                "sub": In(4),
                "weights": In(word * arch.input_lanes),
                "keys": In(data.ArrayLayout(word, arch.output_lanes)),
                "values": In(data.ArrayLayout(word, arch.input_lanes)),
                "b": Out(data.ArrayLayout(data.ArrayLayout(signed(8), arch.output_lanes), arch.input_lanes)),
            }
        )
        self._arch = arch

    def elaborate(self, platform: object) -> Module:
        """One register behind a three-way mux; keys are transposed: lane o takes the chunk of bank o."""
        m = Module()
        inputs, outputs = self._arch.input_lanes, self._arch.output_lanes
        source, sub = Signal(2), Signal(4)
        source_0, sub_0 = Signal(2), Signal(4)
        m.d.sync += [source_0.eq(self.source), source.eq(source_0), sub_0.eq(self.sub), sub.eq(sub_0)]
        chunks = [Signal(8 * inputs, name=f"chunk_{lane}") for lane in range(outputs)]
        m.d.comb += [chunk.eq(self.keys[lane].word_select(sub, 8 * inputs)) for lane, chunk in enumerate(chunks)]
        for i in range(inputs):
            row = Signal(8 * outputs, name=f"row_{i}")
            keys = Signal(8 * outputs, name=f"keys_{i}")
            m.d.comb += [keys.word_select(o, 8).eq(chunks[o].word_select(i, 8)) for o in range(outputs)]
            weights = self.weights.word_select(i, 8 * outputs)
            other = Mux(source == int(OpKind.SCORES), keys, self.values[i])
            m.d.sync += row.eq(Mux(source == int(OpKind.LINEAR), weights, other))
            m.d.comb += self.b[i].eq(row)
        return m
