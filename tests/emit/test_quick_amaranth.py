"""Verilog is written quickly, and to the same text; the checks that are left out are made here."""

import gc

import pytest
from amaranth.back import rtlil, verilog
from amaranth.hdl import Fragment, Module
from amaranth.hdl._ir import build_netlist
from amaranth.hdl._nir import CombinationalCycle, Netlist, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwgen.emit.quick_amaranth import quick_amaranth
from hwgen.emit.tidy import compact_memories
from hwgen.rtl.accelerator import Accelerator
from hwgen.store.archs import arch_preset

INITS = ([], [0, 0], [1, 2, 3], [0, 0, 0, 0, 0, 0, 255])
REPLACED = (
    (rtlil.ModuleEmitter, "emit_memory"),
    (Netlist, "check_comb_cycles"),
    (Netlist, "resolve_value"),
    (Value, "__new__"),
)


class Memories(wiring.Component):
    """Memories of every kind of initial value; one is as wide as a bit, one has one word."""

    def __init__(self):
        super().__init__({"address": In(3), "write": In(2), "i": In(8), "o": Out(8).array(len(INITS)), "one": Out(2)})

    def elaborate(self, platform):
        m = Module()
        for index, init in enumerate(INITS):
            m.submodules[f"memory{index}"] = memory = Memory(shape=8, depth=7, init=init)
            write, read = memory.write_port(granularity=4), memory.read_port()
            m.d.comb += [write.addr.eq(self.address), write.data.eq(self.i), write.en.eq(self.write)]
            m.d.comb += [read.addr.eq(self.address), self.o[index].eq(read.data)]
        for bit, depth in enumerate((1, 5)):
            m.submodules[f"bit{bit}"] = memory = Memory(shape=1, depth=depth, init=[])
            write, read = memory.write_port(), memory.read_port(domain="comb")
            m.d.comb += [write.addr.eq(self.address), write.data.eq(self.i), write.en.eq(self.write)]
            m.d.comb += [read.addr.eq(self.address), self.one[bit].eq(read.data)]
        return m


class Loop(wiring.Component):
    """A bit that depends on itself, through another one."""

    i: In(1)
    o: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(self.o ^ self.i)
        return m


def test_the_text_is_the_same():
    usual = compact_memories(verilog.convert(Memories(), emit_src=False))
    with quick_amaranth():
        rough = verilog.convert(Memories(), emit_src=False)
    assert rough.count(" = 8'h00;\n") == 2 + 4 + 6  # one word of the zeros, all words of what else there is
    assert compact_memories(rough) == usual
    assert usual.count("for (i = 0; i < ") == 4
    for words in (1, 5, 7):
        assert f"i < {words};" in usual


def test_amaranth_is_as_it_was_afterwards():
    before = [vars(owner)[name] for owner, name in REPLACED]
    with quick_amaranth():
        assert all(vars(owner)[name] is not old for (owner, name), old in zip(REPLACED, before, strict=True))
        assert not gc.isenabled()
    with pytest.raises(TypeError), quick_amaranth():
        verilog.convert(object())
    assert [vars(owner)[name] for owner, name in REPLACED] == before
    assert gc.isenabled()


def test_who_needs_no_garbage_collected_still_needs_none():
    gc.disable()
    try:
        with quick_amaranth():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def _netlist(design: wiring.Component) -> Netlist:
    with quick_amaranth():
        return build_netlist(Fragment.get(design, None), ports=[])


def test_no_bit_of_a_machine_depends_on_itself():
    netlist = _netlist(Accelerator(arch_preset("sim-4x8x16")))  # several rows at a time, several ports for weights
    assert len(netlist.cells) > 10_000
    netlist.check_comb_cycles()


def test_a_bit_that_depends_on_itself_is_found():
    netlist = _netlist(Loop())
    with pytest.raises(CombinationalCycle, match="bit 0"):
        netlist.check_comb_cycles()
