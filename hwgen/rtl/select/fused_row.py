"""Fused row: reads the rows that leave, word by word, and writes their weighted sum to a row of its own."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.interfaces import ROW_BITS, WORD_ADDRESS_BITS, buffer_read, buffer_write
from hwgen.rtl.lib.loop_counter import LoopCounter
from hwgen.rtl.lib.pipeline import delay, delay_valid, width_for
from hwgen.rtl.select.row_sum import RowSum
from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import RESIDUAL
from hwgen.spec.choices import READ_LATENCY, row_sum_passes
from hwgen.spec.numerics import FUSED_WEIGHT_BITS

WORDS_BITS = 10


class FusedRow(wiring.Component):
    """Keeps address and weight of the rows that leave, then sums them; ``golden.select.fused_row``.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    clear: In(1), forget all rows. put: In(1): address: In(16), first word of a row, and weight: In(15).
    target: In(16), first word of the fused row, and words: In(10), of a row: stable from ``start`` on.
    start: In(1), some rows were put. done: Out(1), with the last write.
    residual: Out(buffer_read(RESIDUAL)); residual_taken: In(1), its port has another address in this cycle.
    write: Out(buffer_write(RESIDUAL)). outside: Out(1), a word that does not exist is read or (not) written.

    Timing: ``cycles(rows, words)`` from ``start`` to ``done``, and one more for each one of ``residual_taken`` from
    the cycle behind ``start`` to the last read.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._arch, self._passes = arch, row_sum_passes(arch)
        super().__init__(
            {
                "clear": In(1),
                "put": In(1),
                "address": In(WORD_ADDRESS_BITS),
                "weight": In(FUSED_WEIGHT_BITS),
                "target": In(WORD_ADDRESS_BITS),
                "words": In(WORDS_BITS),
                "start": In(1),
                "done": Out(1),
                "residual": Out(buffer_read(RESIDUAL, arch)),
                "residual_taken": In(1),
                "write": Out(buffer_write(RESIDUAL, arch)),
                "outside": Out(1),
            }
        )

    def cycles(self, rows: int, words: int) -> int:
        """Cycles from ``start`` to ``done``."""
        return rows * words * self._passes + 2 + READ_LATENCY + RowSum.latency

    def elaborate(self, platform: object) -> Module:
        """Rows in a memory, a loop over words, parts and rows, the sum, the write."""
        m = Module()
        m.submodules.row_sum = total = RowSum(self._arch)
        granted, tag, row = self._loop(m)
        outside = self._read(m, granted, tag, row, total)
        self._write(m, total, outside)
        return m

    def _rows(self, m: Module, place: Value, granted: Value) -> tuple[Value, Any]:
        """Memory of the rows: how many there are, and the row at ``place`` a cycle later."""
        layout = data.StructLayout({"address": WORD_ADDRESS_BITS, "weight": FUSED_WEIGHT_BITS})
        m.submodules.rows = memory = Memory(shape=layout, depth=self._arch.max_tokens, init=[])
        write, read, count = memory.write_port(), memory.read_port(), Signal(ROW_BITS, name="count_of_rows")
        m.d.comb += [
            write.en.eq(self.put),
            write.addr.eq(count),
            write.data.address.eq(self.address),
            write.data.weight.eq(self.weight),
            read.addr.eq(place),
            read.en.eq(granted),
        ]
        with m.If(self.clear):
            m.d.sync += count.eq(0)
        with m.Elif(self.put):
            m.d.sync += count.eq(count + 1)
        return count, read.data

    def _loop(self, m: Module) -> tuple[Value, data.View, Any]:
        """Rows within parts within words: one turn a cycle while the residual is ours; a turn's tag and its row."""
        granted, active, place = ~self.residual_taken, Signal(), Signal(ROW_BITS, name="place")
        count, row = self._rows(m, place, granted)
        rows, parts = LoopCounter(m, count, "row"), Signal(width_for(self._passes), name="part")
        words = LoopCounter(m, self.words, "word")
        last_part = parts == self._passes - 1
        layout = data.StructLayout(
            {"valid": 1, "first": 1, "last": 1, "part": width_for(self._passes), "word": WORDS_BITS}
        )  # fmt: skip
        tag = Signal(layout)
        m.d.comb += place.eq(rows.turn)
        with m.If(self.start):
            m.d.sync += [active.eq(1), parts.eq(0)]
            rows.restart()
            words.restart()
        with m.Elif(active & granted):
            rows.step()
            with m.If(rows.at_last):
                m.d.sync += parts.eq(0 if self._passes == 1 else parts + 1)
                with m.If(last_part):
                    words.step()
                    m.d.sync += active.eq(~words.at_last)
        with m.If(granted):
            m.d.sync += [
                tag.valid.eq(active),
                tag.first.eq(rows.turn == 0),
                tag.last.eq(rows.at_last),
                tag.part.eq(parts),
                tag.word.eq(words.turn),
            ]
        return granted, tag, row

    def _read(self, m: Module, granted: Value, tag: data.View, row: data.View, total: RowSum) -> Value:
        """Ask for the word; its tag and weight meet it at the sum. Whether a word read does not exist."""
        address = Signal(WORD_ADDRESS_BITS + 1, name="read_address", reset_less=True)
        asked = Signal(Cat(tag.as_value(), row.weight).shape(), name="asked")
        with m.If(granted):
            m.d.sync += [address.eq(row.address + tag.word), asked.eq(Cat(tag.as_value(), row.weight))]
        m.d.comb += self.residual.address.eq(address)
        there = data.View(tag.shape(), delay(m, asked[: len(tag.as_value())], READ_LATENCY, "there"))
        issued = data.View(tag.shape(), asked[: len(tag.as_value())]).valid & granted
        m.d.comb += [
            total.valid.eq(delay_valid(m, issued, READ_LATENCY)),
            total.first.eq(there.first),
            total.last.eq(there.last),
            total.part.eq(there.part),
            total.weight.eq(delay(m, asked[len(tag.as_value()) :], READ_LATENCY, "weight")),
            total.x.eq(self.residual.data),
        ]
        return issued & (address >= self._arch.residual_words)

    def _write(self, m: Module, total: RowSum, read_outside: Value) -> None:
        """Word after word of the fused row."""
        words = LoopCounter(m, self.words, "written")
        address = Signal(WORD_ADDRESS_BITS + 1, name="write_address")
        with m.If(self.start):
            words.restart()
            m.d.sync += address.eq(self.target)
        with m.Elif(total.o_valid):
            words.step()
            m.d.sync += address.eq(address + 1)
        exists = address < self._arch.residual_words
        m.d.comb += [
            self.write.enable.eq(total.o_valid & exists),
            self.write.address.eq(address),
            self.write.data.eq(total.y),
            self.outside.eq(read_outside | (total.o_valid & ~exists)),
            self.done.eq(total.o_valid & words.at_last),
        ]
