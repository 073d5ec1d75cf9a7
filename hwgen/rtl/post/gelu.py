"""GELU lanes: ReLU minus an interpolated delta table, without a multiplier."""

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.gated_product import gated_sums
from hwgen.rtl.lib.interfaces import table_bus
from hwgen.rtl.lib.interpolation import BASE_BITS, SLOPE_BITS, table_info, table_memory
from hwgen.rtl.lib.pipeline import delay
from hwgen.spec.tables import GELU_ENTRIES

STEP_BITS = 6  # fraction bits below one table step: Q5.11 codes, steps of 1/32
SCALE_BITS = 5  # Q.11 to Q.16
OUT_BITS = 22


class GeluLanes(wiring.Component):
    """``y = gelu(z)``, or ``y = z`` while ``enable`` is low, in every lane.

    ``a = |z|``, ``k = a >> 6``, ``f = a & 63``; ``y = (max(z, 0) << 5) - (base[k] + half_up(slope[k] * f, 6))`` for
    k < 176, ``max(z, 0) << 5`` beyond. The six-bit product is a sum of six gated copies of the slope.

    Parameters
    ----------
    lanes: values per cycle.

    Members
    -------
    table: In(table_bus), fills the table called gelu.
    z[lane]: In(signed(16)), Q5.11. enable: In(1), this cycle's values want GELU.
    y[lane]: Out(signed(22)), Q.16, or z unchanged.

    Timing: fully pipelined, ``latency`` cycles from z and enable to y: index, table, partial sums, product, difference.

    Equals golden.gelu.gelu.
    """

    latency = 5

    def __init__(self, lanes: int):
        if lanes < 1:
            raise ValueError(f"GeluLanes takes at least one lane, got {lanes}")
        self._lanes = lanes
        super().__init__(
            {
                "table": In(table_bus()),
                "z": In(data.ArrayLayout(signed(16), lanes)),
                "enable": In(1),
                "y": Out(data.ArrayLayout(signed(OUT_BITS), lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """One copy of the table a lane: block memories have two ports."""
        m = Module()
        for lane in range(self._lanes):
            memory = table_memory(m, table_info("gelu"), self.table, BASE_BITS + SLOPE_BITS, f"entries_{lane}")
            index, fraction, inside, relu = self._index(m, lane)
            port = memory.read_port()
            m.d.comb += port.addr.eq(index)
            base = Mux(delay(m, inside, 1, f"inside_{lane}"), port.data[:BASE_BITS], 0)
            slope = port.data[BASE_BITS:].as_signed()
            rest = Signal(signed(OUT_BITS), name=f"rest_{lane}", reset_less=True)
            m.d.sync += rest.eq(delay(m, relu, 1, f"relu_{lane}") - base)
            product = self._product(m, lane, slope, delay(m, fraction, 1, f"fraction_{lane}"))
            y = Signal(signed(OUT_BITS), name=f"y_{lane}", reset_less=True)
            m.d.sync += y.eq(delay(m, rest, 1, f"rest_{lane}") - (product >> STEP_BITS))
            m.d.comb += self.y[lane].eq(y)
        return m

    def _index(self, m: Module, lane: int) -> tuple[Signal, Signal, Signal, Signal]:
        """Registered table index, fraction (zero outside), whether the table holds it, and the ReLU part."""
        z = self.z[lane]
        magnitude = Signal(16, name=f"magnitude_{lane}")
        index = Signal(range(GELU_ENTRIES), name=f"index_{lane}", reset_less=True)
        fraction = Signal(STEP_BITS, name=f"fraction_{lane}", reset_less=True)
        inside = Signal(name=f"inside_{lane}", reset_less=True)
        relu = Signal(signed(OUT_BITS), name=f"relu_{lane}", reset_less=True)
        held = Signal(name=f"held_{lane}")
        m.d.comb += [
            magnitude.eq(Mux(z[-1], -z, z)),
            held.eq(self.enable & (magnitude[STEP_BITS:] < GELU_ENTRIES)),
        ]
        m.d.sync += [
            index.eq(Mux(held, magnitude[STEP_BITS:], 0)),
            fraction.eq(Mux(held, magnitude[:STEP_BITS], 0)),
            inside.eq(held),
            relu.eq(Mux(self.enable, Mux(z[-1], 0, z << SCALE_BITS), z)),
        ]
        return index, fraction, inside, relu

    def _product(self, m: Module, lane: int, slope: Value, fraction: Value) -> Signal:
        """``slope * fraction`` plus one half, two registers: three pairs of gated slopes, then their sum."""
        pairs = gated_sums(m, slope, fraction, 2, f"pair_{lane}")
        product = Signal(signed(SLOPE_BITS + STEP_BITS + 1), name=f"product_{lane}", reset_less=True)
        half = 1 << STEP_BITS - 1
        m.d.sync += product.eq((pairs[0] + pairs[1]) + (pairs[2] + half))
        return product
