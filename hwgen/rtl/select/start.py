"""When an instruction of the token unit begins: its wait, looked at in two steps, so that no step is long."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data

from hwgen.rtl.lib.interfaces import COUNTER_BITS

WAIT_CYCLES = 2  # from an instruction to its start, when nothing makes it wait


def may_start(m: Module, counters: data.View, offered: Value, counter: Value, base: Value) -> Value:
    """Whether an instruction that is ``offered``, and waits for ``base`` on ``counter``, may start in this cycle.

    It has been offered for `WAIT_CYCLES`, and the counter had reached the base a cycle ago; counter 0 never blocks.
    """
    since = Signal(WAIT_CYCLES, name="offered_since")
    value, wanted = Signal(COUNTER_BITS, name="count"), Signal(COUNTER_BITS, name="count_wanted")
    free, there = Signal(name="waits_for_none"), Signal(name="count_reached")
    difference = Signal(COUNTER_BITS, name="count_beyond")
    m.d.comb += difference.eq(value - wanted)
    m.d.sync += [
        since.eq(Mux(offered, Cat(1, since[0]), 0)),
        value.eq(Value.cast(counters[counter])),
        wanted.eq(base),
        free.eq(counter == 0),
        there.eq(free | ~difference[-1]),
    ]
    return offered & since[1] & there
