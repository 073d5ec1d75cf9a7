"""Where a finished row goes: word address in the buffer of its destination, with a range check."""

from functools import reduce
from operator import or_

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.interfaces import ROW_BITS, WORD_ADDRESS_BITS
from hwgen.rtl.lib.pipeline import delay
from hwgen.spec.arch import ArchConfig
from hwgen.spec.destinations import DESTINATIONS, destinations
from hwgen.spec.isa import Destination

STRIDE_BITS = 10
KEY_TILE_BITS = 8


def destination_words(arch: ArchConfig) -> dict[Destination, int]:
    """Words (of each bank) of the buffer of every destination that has addresses."""
    return {name: item.buffer.words(arch) for name, item in DESTINATIONS.items() if item.buffer is not None}


class RowAddress(wiring.Component):
    """``address = base + index * stride + offset``: exact, compared with the buffer's size before it is cut.

    ``index`` is the row, or the row divided by the banks of the key or value buffer (whose bank is the row's low bits);
    ``offset`` is the word of the row, or the tile of keys for scores.

    Parameters
    ----------
    arch: the machine; its buffer sizes are the limits.

    Members
    -------
    destination: In(4). row: In(12). word: In(10). key_tile: In(8). base: In(16). stride: In(10).
    address: Out(16). in_range: Out(1): the address exists (always for GATE and RESULT, which have none), and the row
    of a SCORE or CONTEXT has a place among the row factors.

    Timing: fully pipelined, ``latency`` cycles: index, product, sum, check.
    """

    latency = 4

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "destination": In(4),
                "row": In(ROW_BITS),
                "word": In(STRIDE_BITS),
                "key_tile": In(KEY_TILE_BITS),
                "base": In(WORD_ADDRESS_BITS),
                "stride": In(STRIDE_BITS),
                "address": Out(WORD_ADDRESS_BITS),
                "in_range": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Index and limit in parallel, then the sum and its check."""
        m = Module()
        index, offset, start = self._terms(m)
        limit, row_fits = self._limits(m)
        product = Signal(ROW_BITS + STRIDE_BITS, reset_less=True)
        stride = Signal(STRIDE_BITS, reset_less=True)
        origin = Signal(WORD_ADDRESS_BITS + 1, reset_less=True)
        total = Signal(ROW_BITS + STRIDE_BITS + 2, reset_less=True)
        m.d.sync += [
            stride.eq(self.stride),
            product.eq(index * stride),
            origin.eq(start + offset),
            total.eq(product + origin),
            self.address.eq(total),
            self.in_range.eq((total < limit) & row_fits),
        ]
        return m

    def _terms(self, m: Module) -> tuple[Signal, Signal, Signal]:
        """Registered index, offset and base."""
        index = Signal(ROW_BITS, reset_less=True)
        offset = Signal(STRIDE_BITS, reset_less=True)
        start = Signal(WORD_ADDRESS_BITS, reset_less=True)
        m.d.sync += [index.eq(self.row), offset.eq(self.word), start.eq(self.base)]
        with m.Switch(self.destination):
            with m.Case(int(Destination.KEY)):
                m.d.sync += index.eq(self.row >> (self._arch.output_lanes.bit_length() - 1))
            with m.Case(int(Destination.VALUE)):
                m.d.sync += index.eq(self.row >> (self._arch.input_lanes.bit_length() - 1))
            with m.Case(int(Destination.SCORE)):
                m.d.sync += offset.eq(self.key_tile)
        return index, offset, start

    def _limits(self, m: Module) -> tuple[Value, Value]:
        """First address that does not exist, and whether the row fits; three cycles after the row."""
        limit = Signal(ROW_BITS + STRIDE_BITS + 2)
        bounded = Signal()
        m.d.comb += limit.eq(~0)
        with m.Switch(self.destination):
            for destination, words in destination_words(self._arch).items():
                with m.Case(int(destination)):
                    m.d.comb += limit.eq(min(words, 1 << WORD_ADDRESS_BITS))
        bounded_ones = (self.destination == int(name) for name in destinations(has_row_factors=True))
        m.d.comb += bounded.eq(reduce(or_, bounded_ones))
        fits = Signal()
        m.d.comb += fits.eq(~bounded | (self.row < self._arch.max_tokens))
        return delay(m, limit, 3, "limit"), delay(m, fits, 3, "fits")
