"""Function tables filled over the table bus: direct and interpolated lookups."""

from amaranth.hdl import Cat, Const, Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.gated_product import gated_sums
from hwgen.rtl.lib.interfaces import table_bus
from hwgen.rtl.lib.pipeline import delay, width_for
from hwgen.spec.tables import TABLES, TableInfo

BASE_BITS = 16
SLOPE_BITS = 16
_GROUP_BITS = 4  # of the fraction, in one register of a product


def table_info(name: str) -> TableInfo:
    """The table called ``name``; ValueError lists those that exist."""
    for info in TABLES:
        if info.name == name:
            return info
    raise ValueError(f"no table {name!r}; there are {', '.join(info.name for info in TABLES)}")


def table_memory(m: Module, info: TableInfo, bus: wiring.PureInterface, width: int, name: str) -> Memory:
    """A memory of the low ``width`` bits of every entry of ``info``, filled from ``bus``; callers add read ports."""
    memory = Memory(shape=unsigned(width), depth=info.words, init=[])
    m.submodules[name] = memory
    port = memory.write_port()
    hit = bus.enable & (bus.table == info.index) & (bus.address < info.words)
    m.d.comb += [port.addr.eq(bus.address), port.data.eq(bus.data), port.en.eq(hit)]
    return memory


class DirectTable(wiring.Component):
    """``base[index]`` of a table, one lookup in every lane and cycle; each lane has its own copy.

    Parameters
    ----------
    info: which table. width: bits kept of each base. lanes: lookups per cycle.
    latency: 0 (asynchronous, for tables small enough for look-up-table memory) or 1.

    Members
    -------
    table: In(table_bus). index[lane]: In. value[lane]: Out(width).

    Timing: ``latency`` cycles from index to value.
    """

    def __init__(self, info: TableInfo, width: int, lanes: int, latency: int) -> None:
        if latency not in (0, 1):
            raise ValueError(f"DirectTable latency is 0 or 1, got {latency}")
        self._info, self._width, self._lanes = info, width, lanes
        self.latency = latency
        super().__init__(
            {
                "table": In(table_bus()),
                "index": In(data.ArrayLayout(width_for(info.words), lanes)),
                "value": Out(data.ArrayLayout(width, lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """One memory a lane."""
        m = Module()
        for lane in range(self._lanes):
            memory = table_memory(m, self._info, self.table, self._width, f"copy_{lane}")
            port = memory.read_port(domain="sync" if self.latency else "comb")
            m.d.comb += [port.addr.eq(self.index[lane]), self.value[lane].eq(port.data)]
        return m


class Interpolation(wiring.Component):
    """``base[k] + half_up(slope[k] * f, n)`` of a table, one lookup in every lane and cycle.

    Equals ``golden.table.interpolate`` for tables whose values lie in 0..65535; without a multiplier.

    Parameters
    ----------
    info: which table. fraction_bits: n. lanes: lookups per cycle.

    Members
    -------
    table: In(table_bus). index[lane]: In. fraction[lane]: In(fraction_bits). value[lane]: Out(16).

    Timing: ``latency`` cycles from index and fraction to value: memory, memory output, sums of gated slopes, their sum.
    """

    latency = 4

    def __init__(self, info: TableInfo, fraction_bits: int, lanes: int = 1) -> None:
        if fraction_bits < 1 or lanes < 1:
            raise ValueError(f"Interpolation takes fraction_bits and lanes of at least 1, got {fraction_bits}, {lanes}")
        self._info, self._fraction_bits, self._lanes = info, fraction_bits, lanes
        super().__init__(
            {
                "table": In(table_bus()),
                "index": In(data.ArrayLayout(width_for(info.words), lanes)),
                "fraction": In(data.ArrayLayout(fraction_bits, lanes)),
                "value": Out(data.ArrayLayout(BASE_BITS, lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """One memory and one product a lane."""
        m = Module()
        for lane in range(self._lanes):
            self._lane(m, lane)
        return m

    def _lane(self, m: Module, lane: int) -> None:
        n = self._fraction_bits
        port = table_memory(m, self._info, self.table, BASE_BITS + SLOPE_BITS, f"copy_{lane}").read_port()
        m.d.comb += port.addr.eq(self.index[lane])
        entry = delay(m, port.data, 1, f"entry_{lane}")
        fraction = delay(m, self.fraction[lane], 2, f"fraction_{lane}")
        product = gated_sums(m, entry[BASE_BITS:].as_signed(), fraction, _GROUP_BITS, f"product_{lane}")
        base = Signal(BASE_BITS, name=f"base_{lane}", reset_less=True)
        value = Signal(BASE_BITS, name=f"value_{lane}", reset_less=True)
        half = Const(1 << n - 1, n)  # below the base, so that the sum is rounded
        m.d.sync += [
            base.eq(entry[:BASE_BITS]),
            value.eq(sum(product, start=Cat(half, base)) >> n),
        ]
        m.d.comb += self.value[lane].eq(value)
