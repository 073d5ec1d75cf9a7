"""Table loader: LOAD_TABLE, entries from memory to the table bus."""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.axi.bus import DATA_BITS, burst_command
from hwgen.rtl.lib.decode import fields
from hwgen.rtl.lib.interfaces import table_bus
from hwgen.rtl.lib.loop_counter import LoopCounter
from hwgen.spec.isa import Opcode

ENTRY_BITS = 32
ENTRIES_A_BEAT = DATA_BITS // ENTRY_BITS
TABLE_ADDRESS_BITS = 10
_PART_BITS = (ENTRIES_A_BEAT - 1).bit_length()


class TableLoader(wiring.Component):
    """Broadcasts ``words`` entries of one table, one a cycle.

    Members
    -------
    start: In(1), pulse, while idle. word: In(256), the instruction, stable until not busy. model: In(64).
    command: Out(stream of burst_command), beats: In(stream of 128 bits): the read engine.
    table: Out(table_bus).
    busy: Out(1). overflow: Out(1), pulse: more entries than a table can have; nothing is loaded.

    Timing: ``entries_per_cycle`` = 1; the entry is on the bus in the cycle in which its beat is there.
    """

    entries_per_cycle = 1

    def __init__(self) -> None:
        super().__init__(
            {
                "start": In(1),
                "word": In(256),
                "model": In(64),
                "command": Out(stream.Signature(burst_command())),
                "beats": In(stream.Signature(DATA_BITS)),
                "table": Out(table_bus()),
                "busy": Out(1),
                "overflow": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Ask for the whole table, then four cycles a beat."""
        m = Module()
        parts = fields(Opcode.LOAD_TABLE, self.word)
        entry = LoopCounter(m, Cat(Const(0, _PART_BITS), parts["words"][_PART_BITS:]), "entry")
        part = entry.turn[:_PART_BITS]
        filling, part_is_last = Signal(), Signal()  # entries are sent, in FILL; this is the last one of its beat
        m.d.comb += [
            self.command.payload.address.eq(self.model + parts["offset"]),
            self.command.payload.beats.eq(parts["words"] >> 2),
            self.table.table.eq(parts["table"]),
            self.table.address.eq(entry.turn),
            self.table.enable.eq(filling & self.beats.valid),
            self.beats.ready.eq(part_is_last),
            self.table.data.eq(self.beats.payload.word_select(part, ENTRY_BITS)),
        ]
        with m.FSM(name="load") as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                m.d.sync += part_is_last.eq(0)
                entry.restart()
                with m.If(self.start):
                    m.next = "CHECK"
            with m.State("CHECK"):
                m.d.comb += self.overflow.eq(parts["words"] > 1 << TABLE_ADDRESS_BITS)
                with m.If(self.overflow | (self.command.payload.beats == 0)):
                    m.next = "IDLE"
                with m.Else():
                    m.next = "REQUEST"
            with m.State("REQUEST"):
                m.d.comb += self.command.valid.eq(1)
                with m.If(self.command.ready):
                    m.d.sync += filling.eq(1)
                    m.next = "FILL"
            with m.State("FILL"):
                with m.If(self.beats.valid):
                    m.d.sync += part_is_last.eq(part == ENTRIES_A_BEAT - 2)
                    entry.step()
                    with m.If(entry.at_last):
                        m.d.sync += filling.eq(0)
                        m.next = "IDLE"
        return m
