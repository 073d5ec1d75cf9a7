"""The cycles that the estimate calculates with are those of the RTL, unit by unit and machine by machine."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from hwgen.emit.timing import FILE, constants, regenerate
from hwgen.estimator.dram import SAVED_BYTES
from hwgen.rtl import core
from hwgen.rtl.attention.softmax import SoftmaxStatistics
from hwgen.rtl.core import Core
from hwgen.rtl.experts.gate import GateUnit
from hwgen.rtl.layernorm.layernorm import LayerNorm
from hwgen.rtl.select.move_unit import MoveUnit
from hwgen.rtl.select.select_unit import SelectUnit
from hwgen.spec import timing
from hwgen.spec.arch import ArchConfig
from hwgen.spec.arch_presets import ARCHS

ROOT = Path(__file__).parents[2]
SHAPES = [
    *ARCHS.values(),
    replace(ARCHS["sim"], max_tokens=1024, max_experts=1, max_channels=1024),
    replace(ARCHS["zcu102"], max_tokens=2, max_experts=32, max_channels=33),
]


def test_the_constants_are_those_of_the_units():
    text = FILE.read_text()
    assert regenerate(text) == text, "run: .venv/bin/python -m hwgen.emit.timing"


def test_a_stale_constant_is_found():
    text = FILE.read_text()
    assert regenerate(text.replace("POST_LATENCY = 2", "POST_LATENCY = 3")) == text
    with pytest.raises(ValueError, match="has 0 places"):
        regenerate("")


@pytest.mark.parametrize("arch", SHAPES, ids=lambda arch: arch.name)
def test_figures_of_a_machine(arch: ArchConfig):
    found = constants(arch)
    assert len(found) > 20
    assert found == {name: getattr(timing, name) for name in found}
    assert timing.softmax_latency(arch) == SoftmaxStatistics(arch).latency
    gate, norm = GateUnit(arch), LayerNorm(arch)
    for top_k in (1, 2, 5):
        assert timing.gate_latency(arch, top_k) == gate.latency(top_k)
        assert gate.interval(top_k) == top_k
    for rows, words in ((1, 1), (5, 1), (1, 4), (65, 6)):
        assert timing.norm_cycles(arch, rows, words) == norm.cycles(rows, words)
    if not arch.list_entries:
        return
    select, move = SelectUnit(arch), MoveUnit(arch)
    for rows, fuse in ((1, False), (65, True), (197, False)):
        assert timing.select_cycles(arch, rows, int(fuse)) == select.cycles(rows, fuse=fuse)
    for rows, dropped, words in ((1, 0, 1), (140, 0, 6), (140, 58, 6), (65, 1, 1)):
        assert timing.gather_cycles(arch, rows, dropped, words) == move.cycles(rows, words, dropped)
        assert timing.scatter_cycles(arch, rows, words) == move.cycles(rows, words)


def test_memory_of_the_simulation():
    """The bandwidth that the simulated DDR saves up is what the estimate assumes."""
    text = (ROOT / "sim" / "hdl" / "hwgen_ddr.sv").read_text()
    found = re.search(r"parameter int BUCKET = (\d+)", text)
    assert found is not None
    assert int(found[1]) == SAVED_BYTES


def test_core_has_the_units_that_the_estimate_models():
    assert set(core.UNITS) == {"load", "io", "compute", "norm"}
    assert Core.engine_count == 2
