"""Token sweep: judges the positions of a sequence one by one and writes the list of those that stay."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.interfaces import ROW_BITS, WORD_ADDRESS_BITS, write_port
from hwgen.rtl.lib.loop_counter import LoopCounter
from hwgen.rtl.lib.pipeline import delay, delay_valid
from hwgen.spec.arch import ArchConfig
from hwgen.spec.choices import READ_LATENCY
from hwgen.spec.numerics import FUSED_WEIGHT_BITS, IMPORTANCE_BITS

WEIGHT_BITS = 17  # of an instruction: 2^16 / heads
STRIDE_BITS = 10
_LOW_BITS = 16  # of an importance: its product in multiplier-sized pieces
_WEIGHT_POINT = 25  # golden.select.WEIGHT_SHIFT


def select_fields() -> dict[str, int]:
    """Fields of SELECT that the sweep reads, and their bits; stable while it runs."""
    rows, addresses = ("rows", "prefix", "fused_row"), ("list_base", "src_base")
    single = {"fuse": 1, "weight": WEIGHT_BITS, "src_stride": STRIDE_BITS}
    return dict.fromkeys(rows, ROW_BITS) | dict.fromkeys(addresses, WORD_ADDRESS_BITS) | single


class TokenSweep(wiring.Component):
    """Positions that stay go to the list, ascending; of the others, address and weight leave for the fused row.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    start: In(1). The fields of ``select_fields()``, threshold: In(29) and equal: In(12): stable until ``done``.
    position: Out(12) -> importance: In(29). list: Out(write_port(12)).
    judged: Out(1): judged_position: Out(12), judged_importance: Out(29) and kept: Out(1), in the cycle of the write.
    dropped: Out(1): address: Out(16), first word of its row, and dropped_weight: Out(15).
    fused: Out(1): ``address`` is that of the fused row. outside: Out(1): ... is more than 16 bits.
    done: Out(1), with the last entry of the list.

    Timing: ``cycles(rows, fuse)`` from ``start`` to ``done``; ``dropped`` and ``fused`` come ``late`` cycles after
    their position was judged.
    """

    late = 2  # product of row and stride, and of the weight

    def __init__(self, arch: ArchConfig) -> None:
        del arch
        super().__init__(
            {
                "start": In(1),
                **{f"field_{name}": In(bits) for name, bits in select_fields().items()},
                "threshold": In(IMPORTANCE_BITS),
                "equal": In(ROW_BITS),
                "position": Out(ROW_BITS),
                "importance": In(IMPORTANCE_BITS),
                "list": Out(write_port(ROW_BITS)),
                "judged": Out(1),
                "judged_position": Out(ROW_BITS),
                "judged_importance": Out(IMPORTANCE_BITS),
                "kept": Out(1),
                "dropped": Out(1),
                "fused": Out(1),
                "outside": Out(1),
                "address": Out(WORD_ADDRESS_BITS),
                "dropped_weight": Out(FUSED_WEIGHT_BITS),
                "done": Out(1),
            }
        )

    def cycles(self, rows: int, fuse: bool) -> int:
        """Cycles from ``start`` to ``done``."""
        return rows + fuse + READ_LATENCY + 1

    def elaborate(self, platform: object) -> Module:
        """Positions, comparison, list, and what the fused row needs."""
        m = Module()
        f = {name: getattr(self, f"field_{name}") for name in select_fields()}
        turn, asked, last = self._walk(m, f)
        valid, fused, row = self._judge(m, f, turn, asked)
        dropped = self._list(m, f, valid, fused, row)
        m.d.comb += self.done.eq(delay_valid(m, asked & last, READ_LATENCY + 1))
        self._leave(m, f, valid & fused, dropped, row)
        return m

    def _walk(self, m: Module, f: dict[str, Value]) -> tuple[Value, Value, Value]:
        """Every position, and one turn more for the fused row."""
        positions = LoopCounter(m, f["rows"] + f["fuse"], "position")
        active = Signal()
        with m.If(self.start):
            positions.restart()
            m.d.sync += active.eq(1)
        with m.Elif(active):
            positions.step()
            m.d.sync += active.eq(~positions.at_last)
        m.d.comb += self.position.eq(positions.turn)
        return positions.turn, active, positions.at_last

    def _judge(self, m: Module, f: dict[str, Value], turn: Value, asked: Value) -> tuple[Value, Value, Value]:
        """Compare the importance with the threshold; (valid, of the fused row, row), in the cycle of the judgement."""
        steps = READ_LATENCY
        there = delay(m, turn, steps, "turn")
        first, fused = Signal(name="in_prefix", reset_less=True), Signal(name="at_fused", reset_less=True)
        above, equal = Signal(reset_less=True), Signal(name="at_threshold", reset_less=True)
        row, left = Signal(ROW_BITS, reset_less=True), Signal(ROW_BITS, name="equal_left")
        ends = there == f["rows"]
        m.d.sync += [
            first.eq(there < f["prefix"]),
            fused.eq(ends),
            above.eq(self.importance > self.threshold),
            equal.eq(self.importance == self.threshold),
            row.eq(Mux(ends, f["fused_row"], there)),
        ]
        valid = delay_valid(m, asked, steps + 1)
        tie = equal & ~first & ~fused & (left != 0)
        with m.If(self.start):
            m.d.sync += left.eq(self.equal)
        with m.Elif(valid & tie):
            m.d.sync += left.eq(left - 1)
        m.d.comb += [
            self.kept.eq(fused | first | above | tie),
            self.judged.eq(valid & ~fused),
            self.judged_position.eq(delay(m, there, 1, "judged")),
            self.judged_importance.eq(delay(m, self.importance, 1, "judged_importance")),
        ]
        return valid, fused, row

    def _list(self, m: Module, f: dict[str, Value], valid: Value, fused: Value, row: Value) -> Value:
        """Write what stays; whether the position leaves for the fused row."""
        entry = Signal(WORD_ADDRESS_BITS)
        m.d.comb += [
            self.list.enable.eq(valid & self.kept),
            self.list.address.eq(entry),
            self.list.data.eq(row),
        ]
        with m.If(self.start):
            m.d.sync += entry.eq(f["list_base"])
        with m.Elif(self.list.enable):
            m.d.sync += entry.eq(entry + 1)
        return valid & ~self.kept & f["fuse"]

    def _leave(self, m: Module, f: dict[str, Value], fused: Value, dropped: Value, row: Value) -> None:
        """Address and weight of a row that leaves, and the address of the fused one."""
        low = Signal(_LOW_BITS + WEIGHT_BITS, reset_less=True)
        high = Signal(IMPORTANCE_BITS - _LOW_BITS + WEIGHT_BITS, reset_less=True)
        halves = Signal(IMPORTANCE_BITS + WEIGHT_BITS - _WEIGHT_POINT + 1, reset_less=True)
        offset = Signal(ROW_BITS + STRIDE_BITS, reset_less=True)
        address = Signal(ROW_BITS + STRIDE_BITS + 1, name="address_of_row", reset_less=True)
        weight = Signal(FUSED_WEIGHT_BITS, name="weight_of_row", reset_less=True)
        rounded = Signal(len(halves))
        m.d.comb += rounded.eq((halves + 1) >> 1)
        m.d.sync += [
            low.eq(self.importance[:_LOW_BITS] * f["weight"]),
            high.eq(self.importance[_LOW_BITS:] * f["weight"]),
            halves.eq(((low >> _LOW_BITS) + high) >> _WEIGHT_POINT - 1 - _LOW_BITS),
            offset.eq(row * f["src_stride"]),
            address.eq(offset + f["src_base"]),
            weight.eq(Mux(rounded[FUSED_WEIGHT_BITS:].any(), 2**FUSED_WEIGHT_BITS - 1, rounded)),
        ]
        m.d.comb += [
            self.dropped.eq(delay_valid(m, dropped, self.late)),
            self.fused.eq(delay_valid(m, fused, self.late)),
            self.outside.eq((self.dropped | self.fused) & address[WORD_ADDRESS_BITS:].any()),
            self.address.eq(address),
            self.dropped_weight.eq(weight),
        ]
