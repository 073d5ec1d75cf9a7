"""Designs: parts that go together, and those that do not."""

from dataclasses import replace

import pytest

from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.design import Design, DesignError
from hwgen.spec.numerics import NUMERICS, NumericsConfig
from hwgen.spec.presets import M3VIT_MICRO, M3VIT_TINY
from hwgen.store.boards import board


def test_good():
    design = Design(model=M3VIT_TINY, arch=ARCHS["zcu102"], board=board("zcu102"))
    assert design.numerics is NUMERICS


def test_too_many_ports():
    sim = board("sim")
    narrow = replace(sim, axi=replace(sim.axi, ports=4))
    with pytest.raises(DesignError, match=r"arch zcu102 has 5 AXI masters .* board sim offers 4; lower weight_ports"):
        Design(model=M3VIT_MICRO, arch=ARCHS["zcu102"], board=narrow)


@pytest.mark.parametrize(("beats", "fits"), [(0, True), (16, True), (15, False)])
def test_a_burst_that_no_port_holds(beats: int, fits: bool):
    """The port would never take it, and the machine would wait for ever."""
    sim, arch = board("sim"), ARCHS["sim"]
    assert arch.burst_beats == 16
    small = replace(sim, axi=replace(sim.axi, read_buffer_beats=beats))
    if fits:
        assert Design(model=M3VIT_MICRO, arch=arch, board=small).board == small
        return
    with pytest.raises(DesignError, match="bursts of 16 beats, a port of board sim holds 15; lower burst_beats"):
        Design(model=M3VIT_MICRO, arch=arch, board=small)


def test_other_numerics():
    with pytest.raises(DesignError, match="numerics profile 'octave' differs"):
        Design(
            model=M3VIT_MICRO, arch=ARCHS["sim"], board=board("sim"), numerics=replace(NUMERICS, gate_fraction_bits=7)
        )


def test_a_profile_without_rtl_is_refused():
    message = r"numerics profile 'ivit' has golden functions only \(golden/ivit\), no RTL; a build needs 'octave'"
    with pytest.raises(DesignError, match=message):
        Design(model=M3VIT_MICRO, arch=ARCHS["sim"], board=board("sim"), numerics=NumericsConfig(profile="ivit"))


@pytest.mark.parametrize(("name", "near"), [("octaves", "octave"), ("i-vit", "ivit"), ("", "octave|ivit")])
def test_an_unknown_profile_is_refused(name: str, near: str):
    with pytest.raises(ValueError, match=rf"unknown numerics profile '{name}'; did you mean '({near})'"):
        NumericsConfig(profile=name)


def test_no_task():
    with pytest.raises(DesignError, match="model m3vit-micro has no task"):
        Design(model=replace(M3VIT_MICRO, tasks=()), arch=ARCHS["sim"], board=board("sim"))
