"""Longest paths of netlists made by hand."""

import pytest

from hwgen.synth import depth
from hwgen.synth.depth import CombinationalLoopError, Path, levels_allowed, limit_ps, timing_of

LEVEL = depth.NET + depth.LUT


class Builder:
    """A netlist, cell by cell; bit 2 is the clock."""

    def __init__(self) -> None:
        self.netlist: dict = {"ports": {}, "cells": {}, "netnames": {}}

    def cell(self, kind: str, outputs: str = "O", **pins: int | list[int]) -> None:
        ways = {pin: "output" if pin in outputs.split() else "input" for pin in pins}
        bits = {pin: [bit] if isinstance(bit, int) else bit for pin, bit in pins.items()}
        name = f"cell{len(self.netlist['cells'])}"
        self.netlist["cells"][name] = {
            "type": kind,
            "connections": bits,
            "port_directions": ways,
            "parameters": {},
        }

    def port(self, name: str, direction: str, *bits: int) -> None:
        self.netlist["ports"][name] = {"direction": direction, "bits": list(bits)}

    def name(self, name: str, *bits: int) -> None:
        self.netlist["netnames"][name] = list(bits)


def test_luts_between_two_registers():
    b = Builder()
    b.cell("FDRE", "Q", C=2, D=9, Q=3)
    b.cell("LUT1", I0=3, O=4)
    b.cell("LUT2", I0=3, I1=4, O=5)
    b.cell("FDRE", "Q", C=2, D=5, Q=6)
    b.name("from", 3)
    b.name("to", 6)
    ps = depth.CLOCK_TO_Q + 2 * LEVEL + depth.NET + depth.SETUP
    assert timing_of(b.netlist, {}).worst == Path(ps, 2, 0, "from", "to (D)")


def test_carry_chain_goes_upwards_only():
    b = Builder()
    b.cell("FDRE", "Q", C=2, D=90, Q=3)
    b.cell("CARRY4", "O CO", CI=91, DI=[92, 3, 93, 94], S=[95, 96, 97, 98], O=[10, 11, 12, 13], CO=[14, 15, 16, 17])
    b.cell("CARRY4", "O CO", CI=17, DI=[92, 92, 92, 92], S=[95, 95, 95, 95], O=[20, 21, 22, 23], CO=[24, 25, 26, 27])
    b.cell("FDRE", "Q", C=2, D=10, Q=30)
    b.cell("FDRE", "Q", C=2, D=23, Q=31)
    b.name("top", 31)
    found = timing_of(b.netlist, {})
    ps = depth.CLOCK_TO_Q + depth.CARRY_ENTRY + depth.CARRY_STEP + depth.NET + depth.SETUP
    assert found.worst == Path(ps, 0, 2, "Q of a cell", "top (D)")


def test_product_register_is_inside_the_dsp_block():
    def product(extra: bool) -> Builder:
        b = Builder()
        b.cell("FDRE", "Q", C=2, D=90, Q=3)
        b.cell("DSP48E2", "P", A=[3], B=[3], P=[10, 11])
        b.cell("FDRE", "Q", C=2, D=10, Q=20)
        b.cell("FDRE", "Q", C=2, D=11, Q=21)
        if extra:
            b.cell("LUT1", I0=11, O=22)
        return b

    inside = timing_of(product(extra=False).netlist, {}).worst
    outside = timing_of(product(extra=True).netlist, {}).worst
    assert inside is not None
    assert outside is not None
    assert inside.ps == depth.CLOCK_TO_Q + depth.NET + depth.DSP_SETUP
    assert outside.ps == depth.CLOCK_TO_Q + 2 * depth.NET + depth.DSP_COMBINATIONAL + depth.SETUP


def _child() -> Builder:
    """in[0] -> LUT -> register -> out[0]; in[1] -> LUT -> out[1]."""
    b = Builder()
    b.port("in", "input", 3, 4)
    b.port("out", "output", 6, 7)
    b.cell("LUT1", I0=3, O=5)
    b.cell("FDRE", "Q", C=2, D=5, Q=6)
    b.cell("LUT1", I0=4, O=7)
    b.name("kept", 6)
    return b


def test_a_path_through_a_child():
    child = timing_of(_child().netlist, {})
    assert child.worst is None
    assert set(child.launch) == {"out[0]"}
    assert set(child.capture) == {"in[0]"}
    assert set(child.through) == {("in[1]", "out[1]")}
    b = Builder()
    b.cell("FDRE", "Q", C=2, D=90, Q=3)
    b.cell("child", "out", **{"in": [5, 3], "out": [4, 5]})  # register -> through -> captured inside
    b.name("source", 3)
    ps = depth.CLOCK_TO_Q + 2 * LEVEL + depth.NET + depth.SETUP
    assert timing_of(b.netlist, {"child": child}).worst == Path(ps, 2, 0, "source", "cell1.kept (D)")


def test_a_loop_through_a_child_is_found():
    child = timing_of(_child().netlist, {})
    b = Builder()
    b.cell("child", "out", **{"in": [5, 3], "out": [4, 3]})
    b.name("round", 3)
    with pytest.raises(CombinationalLoopError, match="round"):
        timing_of(b.netlist, {"child": child})


def test_unknown_cells_are_refused():
    b = Builder()
    b.cell("$mul", A=3, O=4)
    with pytest.raises(ValueError, match=r"\$mul"):
        timing_of(b.netlist, {})


def test_rule_for_a_clock():
    assert limit_ps(300) == 3233
    assert levels_allowed(300) == 6
    assert levels_allowed(100) > 3 * levels_allowed(300)
