"""On-chip memories of the machine: rows of words, and banks that are read side by side."""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.interfaces import WORD_ADDRESS_BITS, banked_write_port, read_port
from hwgen.spec.choices import READ_LATENCY


def _check(depth: int, width: int) -> None:
    if not 1 <= depth <= 1 << WORD_ADDRESS_BITS:
        raise ValueError(f"depth must be 1..{1 << WORD_ADDRESS_BITS} words, got {depth}")
    if width < 1:
        raise ValueError(f"width must be at least 1 bit, got {width}")


class RowBuffer(wiring.Component):
    """A memory with one write port and ``reads`` read ports; each read port has its own copy of the memory.

    Parameters
    ----------
    depth: words. width: bits per word. reads: read ports.
    granularity: bits per write-enable bit (None: one enable for the word).

    Members
    -------
    write: In, ``enable`` (width / granularity bits), ``address``, ``data``.
    read[n]: In(read_port(width)).

    Addresses at and past ``depth`` must not be written and read as anything.

    Timing: written words can be read from the next cycle on; ``data`` comes READ_LATENCY cycles after ``address``
    (memory and output register).
    """

    latency = READ_LATENCY

    def __init__(self, depth: int, width: int, *, reads: int = 1, granularity: int | None = None) -> None:
        _check(depth, width)
        granularity = granularity or width
        if reads < 1:
            raise ValueError(f"reads must be at least 1, got {reads}")
        if width % granularity:
            raise ValueError(f"granularity must divide the width of {width} bits, got {granularity}")
        self._depth, self._width, self._reads, self._granularity = depth, width, reads, granularity
        write = {"enable": Out(width // granularity), "address": Out(WORD_ADDRESS_BITS), "data": Out(width)}
        super().__init__({"write": In(wiring.Signature(write)), "read": In(read_port(width)).array(reads)})

    def elaborate(self, platform: object) -> Module:
        """One simple dual-port memory for each read port."""
        m = Module()
        for n in range(self._reads):
            memory = Memory(shape=unsigned(self._width), depth=self._depth, init=[])
            m.submodules[f"copy_{n}"] = memory
            write, read = memory.write_port(granularity=self._granularity), memory.read_port()
            output = Signal(self._width, name=f"output_{n}", reset_less=True)
            m.d.sync += output.eq(read.data)
            m.d.comb += [
                write.addr.eq(self.write.address),
                write.data.eq(self.write.data),
                write.en.eq(self.write.enable),
                read.addr.eq(self.read[n].address),
                self.read[n].data.eq(output),
            ]
        return m


class BankedBuffer(wiring.Component):
    """``banks`` memories: a write goes to one of them, a read takes the same address of all.

    Parameters
    ----------
    banks: memories, a power of two. depth: words per bank. width: bits per word.

    Members
    -------
    write: In(banked_write_port(banks, width)).
    address: In(16). data[bank]: Out(width).

    Addresses at and past ``depth`` must not be written and read as anything.

    Timing: as RowBuffer; ``data`` comes READ_LATENCY cycles after ``address``.
    """

    latency = READ_LATENCY

    def __init__(self, banks: int, depth: int, width: int) -> None:
        _check(depth, width)
        if banks < 2 or banks & (banks - 1):
            raise ValueError(f"banks must be a power of two of at least 2, got {banks}")
        self._banks, self._depth, self._width = banks, depth, width
        super().__init__(
            {
                "write": In(banked_write_port(banks, width)),
                "address": In(WORD_ADDRESS_BITS),
                "data": Out(data.ArrayLayout(width, banks)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """One simple dual-port memory for each bank."""
        m = Module()
        for bank in range(self._banks):
            memory = Memory(shape=unsigned(self._width), depth=self._depth, init=[])
            m.submodules[f"bank_{bank}"] = memory
            write, read = memory.write_port(), memory.read_port()
            output = Signal(self._width, name=f"output_{bank}", reset_less=True)
            m.d.sync += output.eq(read.data)
            m.d.comb += [
                write.addr.eq(self.write.address),
                write.data.eq(self.write.data),
                write.en.eq(self.write.enable & (self.write.bank == bank)),
                read.addr.eq(self.address),
                self.data[bank].eq(output),
            ]
        return m
