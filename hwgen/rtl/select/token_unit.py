"""Token unit: what the NORM queue holds besides LAYERNORM: selections, and moves of rows by their lists."""

from typing import Any

from amaranth.hdl import Module, Mux, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.decode import opcode_among
from hwgen.rtl.lib.interfaces import (
    COUNTER_BITS,
    PC_BITS,
    PROGRESS_COUNTERS,
    buffer_read,
    buffer_write,
    fault,
    importance_read,
    issued,
)
from hwgen.rtl.lib.trace import channel_signature
from hwgen.rtl.select.move_unit import MoveUnit
from hwgen.rtl.select.select_unit import SelectUnit
from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import LIST, RESIDUAL
from hwgen.spec.isa import Opcode, Unit


class TokenUnit(wiring.Component):
    """Hands an instruction to the unit that runs it; one runs at a time.

    Parameters
    ----------
    arch: the machine; it has lists.

    Members
    -------
    i: In stream of ``issued()``: SELECT, GATHER and SCATTER. counters: In, progress counters.
    importance: Out(importance_read(arch)), of the observer.
    list_write: Out(buffer_write(LIST)), list_read: Out(buffer_read(LIST)).
    residual, residual_write, residual_taken: of `MoveUnit`.
    select, move: Out, trace channels. started, finished, pc, idle, fault: of the unit that runs.

    Timing: wires only.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._select, self._move = SelectUnit(arch), MoveUnit(arch)
        self._shares = RESIDUAL.copies(arch) < RESIDUAL.readers
        super().__init__(
            {
                "i": In(stream.Signature(issued())),
                "counters": In(data.ArrayLayout(COUNTER_BITS, PROGRESS_COUNTERS)),
                "importance": Out(importance_read(arch)),
                "list_write": Out(buffer_write(LIST, arch)),
                "list_read": Out(buffer_read(LIST, arch)),
                "residual": Out(buffer_read(RESIDUAL, arch)),
                "residual_write": Out(buffer_write(RESIDUAL, arch)),
                **({"residual_taken": In(1)} if self._shares else {}),
                "select": Out(channel_signature("select", arch)),
                "move": Out(channel_signature("move", arch)),
                "started": Out(1),
                "finished": Out(1),
                "pc": Out(PC_BITS),
                "idle": Out(1),
                "fault": Out(fault()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Instructions to one of two units, what they say together."""
        m = Module()
        m.submodules.select_unit, m.submodules.move_unit = select, move = self._select, self._move
        selects = opcode_among(self.i.payload.word, Opcode.SELECT, Unit.NORM)
        for unit, chosen in ((select, selects), (move, ~selects)):
            m.d.comb += [
                unit.i.payload.eq(self.i.payload),
                unit.i.valid.eq(self.i.valid & chosen),
                unit.counters.eq(self.counters),
            ]
        self._connect(m, select, move)
        m.d.comb += [
            self.i.ready.eq(Mux(selects, select.i.ready, move.i.ready)),
            self.started.eq(select.started | move.started),
            self.finished.eq(select.finished | move.finished),
            self.pc.eq(self.i.payload.pc),
            self.idle.eq(~self.i.valid),
            self.fault.valid.eq(select.fault.valid | move.fault.valid),
            self.fault.code.eq(Mux(select.fault.valid, select.fault.code, move.fault.code)),
            self.fault.pc.eq(Mux(select.fault.valid, select.fault.pc, move.fault.pc)),
        ]
        return m

    def _connect(self, m: Module, select: SelectUnit, move: MoveUnit) -> None:
        """Each unit's own ports, and what is dropped from the one to the other."""
        pairs: list[tuple[Any, Any]] = [
            (select.importance, self.importance),
            (select.list, self.list_write),
            (select.trace, self.select),
            (move.list, self.list_read),
            (move.residual, self.residual),
            (move.residual_write, self.residual_write),
            (move.trace, self.move),
        ]
        for inner, outer in pairs:
            wiring.connect(m, inner, wiring.flipped(outer))
        wiring.connect(m, select.dropped, move.dropped)
        if self._shares:
            m.d.comb += Value.cast(move.residual_taken).eq(self.residual_taken)
