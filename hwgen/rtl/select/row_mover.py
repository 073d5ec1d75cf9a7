"""Row mover: copies rows of the residual stream, one side named by a list, the other in order."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.interfaces import ROW_BITS, WORD_ADDRESS_BITS, buffer_read, buffer_write
from hwgen.rtl.lib.loop_counter import LoopCounter
from hwgen.rtl.lib.pipeline import delay, delay_valid
from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import LIST, RESIDUAL
from hwgen.spec.choices import READ_LATENCY

STRIDE_BITS = 10
WORDS_BITS = 10
_SUM_BITS = ROW_BITS + STRIDE_BITS + 1  # base + row * stride never wraps


def move_fields() -> dict[str, int]:
    """Fields of an instruction that the mover reads, and their bits; stable while it runs."""
    addresses = dict.fromkeys(("src_base", "dst_base", "list_base"), WORD_ADDRESS_BITS)
    strides = dict.fromkeys(("src_stride", "dst_stride"), STRIDE_BITS)
    return {"rows": ROW_BITS, "words": WORDS_BITS} | addresses | strides


class RowMover(wiring.Component):
    """Word w of row r of one side becomes word w of row p of the other, with r the p-th entry of a list.

    While the words of a row go by, the addresses of the next one are looked up. A word is written READ_LATENCY cycles
    after it was asked for; a list that ascends and whose p-th entry is at least p may therefore gather in place: what
    is read lies at or above all that was written.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    start: In(1). The fields of ``move_fields()``, and scatter: In(1), the list names rows of the target, not of the
    source: stable until ``done``. rows and words are at least 1.
    list: Out(buffer_read(LIST)). residual: Out(buffer_read(RESIDUAL)), write: Out(buffer_write(RESIDUAL)).
    residual_taken: In(1), the read port has another address in this cycle.
    row: Out(12), word: Out(10): of the target's stream, in the cycle of the write.
    outside: Out(1), a word that does not exist is read or (not) written. done: Out(1), with the last write.

    Timing: ``cycles(rows, words)`` from ``start`` to ``done``, and one more for each one of ``residual_taken`` while
    words are read.
    """

    lookup = READ_LATENCY + 3  # list entry, products, sums, and their use

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "start": In(1),
                **{f"field_{name}": In(bits) for name, bits in move_fields().items()},
                "scatter": In(1),
                "list": Out(buffer_read(LIST, arch)),
                "residual": Out(buffer_read(RESIDUAL, arch)),
                "write": Out(buffer_write(RESIDUAL, arch)),
                "residual_taken": In(1),
                "row": Out(ROW_BITS),
                "word": Out(WORDS_BITS),
                "outside": Out(1),
                "done": Out(1),
            }
        )

    def cycles(self, rows: int, words: int) -> int:
        """Cycles from ``start`` to ``done``."""
        return self.lookup + (rows - 1) * max(words, self.lookup) + words + READ_LATENCY

    def elaborate(self, platform: object) -> Module:
        """Look-up of rows, walk over words, write."""
        m = Module()
        f = {name: getattr(self, f"field_{name}") for name in move_fields()}
        taken = Signal(name="row_taken")
        there, row, source, target = self._look_up(m, f, taken)
        self._walk(m, f, (there, row, source, target), taken)
        return m

    def _look_up(self, m: Module, f: dict[str, Value], taken: Signal) -> tuple[Value, Value, Value, Value]:
        """Addresses of the next row: (they are there, row that the trace shows, of the source, of the target)."""
        rows = LoopCounter(m, f["rows"], "row")
        asked, more, there = Signal(name="row_asked"), Signal(name="more_rows"), Signal(name="row_there")
        entry, step = Signal(WORD_ADDRESS_BITS, reset_less=True), Signal(name="next_row")
        listed, plain = Signal(ROW_BITS, name="listed_row"), rows.turn
        m.d.comb += [
            listed.eq(self.list.data),
            self.list.address.eq(entry),
            step.eq(taken & more),
        ]
        with m.If(self.start):
            rows.restart()
            m.d.sync += [entry.eq(f["list_base"]), asked.eq(1), more.eq(f["rows"] != 1), there.eq(0)]
        with m.Elif(step):
            rows.step()
            m.d.sync += [entry.eq(entry + 1), asked.eq(1), more.eq(rows.turn + 2 != f["rows"]), there.eq(0)]
        with m.Else():
            m.d.sync += asked.eq(0)
            with m.If(taken):
                m.d.sync += there.eq(0)
        with m.If(delay_valid(m, asked, self.lookup - 2)):
            m.d.sync += there.eq(1)
        products = {}
        for side, by_list in (("src", ~self.scatter), ("dst", self.scatter)):
            product = Signal(ROW_BITS + STRIDE_BITS, name=f"{side}_product", reset_less=True)
            total = Signal(_SUM_BITS, name=f"{side}_next", reset_less=True)
            m.d.sync += [
                product.eq(Mux(by_list, listed, plain) * f[f"{side}_stride"]),
                total.eq(product + f[f"{side}_base"]),
            ]
            products[side] = total
        return there, Mux(self.scatter, listed, plain), products["src"], products["dst"]

    def _walk(self, m: Module, f: dict[str, Value], following: tuple[Value, ...], taken: Signal) -> None:
        """Words of a row, one a cycle while the residual is ours; the next row behind the last word."""
        there, row, source, target = following
        words = LoopCounter(m, f["words"], "word")
        active, last_row = Signal(name="walking"), Signal(name="at_last_row")
        granted, ends = active & ~self.residual_taken, Signal(name="row_ends")
        read, write = (Signal(_SUM_BITS, name=f"{side}_address", reset_less=True) for side in ("read", "write"))
        here, left = Signal(ROW_BITS, name="row_here", reset_less=True), Signal(ROW_BITS, name="rows_left")
        m.d.comb += [
            ends.eq(granted & words.at_last),
            taken.eq(there & (ends | ~active)),
            self.residual.address.eq(read),
        ]
        with m.If(self.start):
            words.restart()
            m.d.sync += [left.eq(f["rows"]), active.eq(0)]
        with m.Elif(taken):
            words.restart()
            m.d.sync += [read.eq(source), write.eq(target), here.eq(row), active.eq(1)]
            m.d.sync += [left.eq(left - 1), last_row.eq(left == 1)]
        with m.Elif(granted):
            words.step()
            m.d.sync += [read.eq(read + 1), write.eq(write + 1), active.eq(~words.at_last)]
        valid = delay_valid(m, granted, READ_LATENCY)
        address = delay(m, write, READ_LATENCY, "written")
        exists = delay(m, write < self._arch.residual_words, READ_LATENCY, "exists")
        m.d.comb += [
            self.write.enable.eq(valid & exists),
            self.write.address.eq(address),
            self.write.data.eq(self.residual.data),
            self.row.eq(delay(m, here, READ_LATENCY, "row_written")),
            self.word.eq(delay(m, words.turn, READ_LATENCY, "word_written")),
            self.outside.eq((valid & ~exists) | (granted & (read >= self._arch.residual_words))),
            self.done.eq(delay_valid(m, ends & last_row, READ_LATENCY)),
        ]
