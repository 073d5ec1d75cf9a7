"""B operand: chooses the array's second operand among weight ring, keys and values."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.matmul.ops import OpKind
from hwgen.spec.arch import ArchConfig
from hwgen.spec.choices import READ_LATENCY


class BOperand(wiring.Component):
    """Lays the words of the chosen source out as input_lanes x output_lanes.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    source: In(OpKind), sub: In, chunk in the key word, int4: In(1), the ring word holds weights of four bits, high:
    In(1), in the high nibbles; all in the cycle of the read addresses.
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
                "int4": In(1),
                "high": In(1),
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
        source, sub, int4, high = (self._delayed(m, name) for name in ("source", "sub", "int4", "high"))
        chunks = [Signal(8 * inputs, name=f"chunk_{lane}") for lane in range(outputs)]
        m.d.comb += [chunk.eq(self.keys[lane].word_select(sub, 8 * inputs)) for lane, chunk in enumerate(chunks)]
        for i in range(inputs):
            row = Signal(8 * outputs, name=f"row_{i}")
            keys = Signal(8 * outputs, name=f"keys_{i}")
            m.d.comb += [keys.word_select(o, 8).eq(chunks[o].word_select(i, 8)) for o in range(outputs)]
            weights = self.weights.word_select(i, 8 * outputs)
            other = Mux(source == int(OpKind.SCORES), keys, self.values[i])
            m.d.sync += row.eq(Mux(source == int(OpKind.LINEAR), self._codes(weights, int4, high), other))
            m.d.comb += self.b[i].eq(row)
        return m

    def _delayed(self, m: Module, name: str) -> Value:
        """A control input in the cycle of the data that it belongs to."""
        value = getattr(self, name)
        for stage in range(READ_LATENCY):
            following = Signal(len(value), name=f"{name}_{stage}")
            m.d.sync += following.eq(value)
            value = following
        return value

    def _codes(self, weights: Value, int4: Value, high: Value) -> Value:
        """Bytes of weights, or one nibble of each with its sign; ``high`` only with ``int4``."""
        codes: list[Value] = []
        for lane in range(self._arch.output_lanes):
            byte = weights.word_select(lane, 8)
            low = Mux(high, byte[4:], byte[:4])
            codes.append(Cat(low, Mux(int4, low[3].replicate(4), byte[4:])))
        return Cat(*codes)
