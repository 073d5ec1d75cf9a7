"""Memories are written quickly, and to the same text."""

from amaranth.back import rtlil
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwgen.emit.verilog import quick_memories

INITS = ([], [0, 0], [1, 2, 3], [0, 0, 0, 0, 0, 0, 255])


class Memories(wiring.Component):
    """Memories of every kind of initial value."""

    def __init__(self):
        super().__init__({"address": In(3), "write": In(2), "i": In(8), "o": Out(8).array(len(INITS))})

    def elaborate(self, platform):
        m = Module()
        for index, init in enumerate(INITS):
            m.submodules[f"memory{index}"] = memory = Memory(shape=8, depth=7, init=init)
            write, read = memory.write_port(granularity=4), memory.read_port()
            m.d.comb += [write.addr.eq(self.address), write.data.eq(self.i), write.en.eq(self.write)]
            m.d.comb += [read.addr.eq(self.address), self.o[index].eq(read.data)]
        return m


def test_the_text_is_the_same():
    usual = rtlil.convert(Memories(), emit_src=False)
    before = rtlil.ModuleEmitter.emit_memory
    with quick_memories():
        assert rtlil.ModuleEmitter.emit_memory is not before
        quick = rtlil.convert(Memories(), emit_src=False)
    assert quick == usual
    assert usual.count("$meminit_v2") == len(INITS)
    assert rtlil.ModuleEmitter.emit_memory is before


def test_a_failure_leaves_amaranth_as_it_was():
    before = rtlil.ModuleEmitter.emit_memory
    try:
        with quick_memories():
            raise KeyError
    except KeyError:
        pass
    assert rtlil.ModuleEmitter.emit_memory is before
