"""Cells as resources."""

import pytest

from hwgen.synth.counts import Cost, cost_of


def _netlist(*kinds: str) -> dict:
    return {"cells": {f"cell{i}": {"type": kind} for i, kind in enumerate(kinds)}}


def test_every_kind_counts_once():
    kinds = ["LUT1", "LUT6", "RAM64M8", "SRL16E", "FDRE", "FDSE", "RAMB36E2", "RAMB18E2", "DSP48E2", "CARRY4", "MUXF7"]
    found = cost_of(_netlist(*kinds, "INV"), set())
    assert found == Cost(lut=11, lutram=9, ff=2, bram18=3, dsp=1, carry4=1)
    assert found.bram36 == 1.5


def test_children_are_left_out_and_unknown_cells_refused():
    assert cost_of(_netlist("LUT2", "child"), {"child"}) == Cost(lut=1)
    with pytest.raises(ValueError, match=r"\$mul"):
        cost_of(_netlist("LUT2", "$mul"), set())


def test_sums_and_multiples():
    one = Cost(lut=3, lutram=1, ff=2, bram18=1, dsp=4, carry4=5)
    assert one * 2 + one == Cost(lut=9, lutram=3, ff=6, bram18=3, dsp=12, carry4=15)
