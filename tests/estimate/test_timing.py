"""The cycles that the estimate calculates with are those of the RTL, unit by unit and machine by machine."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from hwgen.estimate.dram import SAVED_BYTES
from hwgen.rtl import core
from hwgen.rtl.attention.softmax import SoftmaxStatistics
from hwgen.rtl.axi.read_engine import ReadEngine
from hwgen.rtl.axi.read_mux import ReadMux
from hwgen.rtl.control import dispatcher, program_fetch
from hwgen.rtl.control.scoreboard import Scoreboard
from hwgen.rtl.control.sequencer import Sequencer
from hwgen.rtl.core import Core
from hwgen.rtl.experts.gate import GateUnit
from hwgen.rtl.io.io_engine import IoEngine
from hwgen.rtl.io.patch_gather import PatchGather
from hwgen.rtl.io.position_loader import PositionLoader
from hwgen.rtl.layernorm.layernorm import LayerNorm
from hwgen.rtl.lib.interfaces import READ_LATENCY
from hwgen.rtl.lib.stream_buffer import StreamBuffer
from hwgen.rtl.load.chunk_planner import ChunkPlanner
from hwgen.rtl.load.port_reader import COMMANDS_AHEAD
from hwgen.rtl.load.weight_loader import WeightLoader
from hwgen.rtl.matmul import compute_unit, operand_loader
from hwgen.rtl.matmul.compute_unit import ComputeUnit
from hwgen.rtl.matmul.operand_loader import OperandLoader
from hwgen.rtl.matmul.row_walker import RowWalker
from hwgen.rtl.matmul.tile_loops import TileLoops
from hwgen.rtl.memory.ring import Ring
from hwgen.rtl.post.post_processor import PostProcessor
from hwgen.spec import timing
from hwgen.spec.arch import ArchConfig
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.isa import Unit

ROOT = Path(__file__).parents[2]
SHAPES = [
    *ARCHS.values(),
    replace(ARCHS["sim"], max_tokens=1024, max_experts=1, max_channels=1024),
    replace(ARCHS["zcu102"], max_tokens=2, max_experts=32, max_channels=33),
]


def test_fixed_figures():
    assert (READ_LATENCY, Scoreboard.latency) == (timing.READ_LATENCY, timing.SCOREBOARD_LATENCY)
    assert Ring.write_latency == timing.RING_WRITE_LATENCY
    assert Ring.release_latency == timing.RING_RELEASE_LATENCY
    assert Sequencer.start_latency == timing.START_LATENCY
    assert Sequencer.end_latency == timing.END_LATENCY
    assert program_fetch.ProgramFetch.latency == timing.FETCH_LATENCY
    assert timing.FETCH_AHEAD == program_fetch.AHEAD
    assert dispatcher.Dispatcher.latency == timing.DISPATCH_LATENCY
    queues = {Unit.IO: timing.IO_QUEUE, Unit.COMPUTE: timing.COMPUTE_QUEUE, Unit.NORM: timing.NORM_QUEUE}
    assert queues == dispatcher.QUEUE_DEPTH
    assert ReadEngine.command_latency == timing.COMMAND_LATENCY
    assert ReadEngine.burst_interval == timing.BURST_INTERVAL
    assert timing.COMMANDS_AHEAD == COMMANDS_AHEAD
    assert ReadMux.request_latency == timing.MUX_LATENCY
    assert ChunkPlanner.chunk_interval == timing.CHUNK_INTERVAL
    assert IoEngine.overhead == timing.IO_OVERHEAD
    assert PositionLoader.write_latency == timing.POSITION_WRITE_LATENCY
    assert PatchGather.write_latency == timing.PATCH_WRITE_LATENCY
    assert timing.RESULT_ROWS == core.RESULT_ROWS
    assert timing.OP_QUEUE == compute_unit.OP_QUEUE
    assert StreamBuffer.latency == timing.BUFFER_LATENCY
    assert TileLoops.latency == timing.ISSUE_LATENCY
    assert timing.REFILL_CYCLES == operand_loader.REFILL_CYCLES
    assert timing.ROW_QUEUE == operand_loader.ROW_QUEUE
    assert RowWalker.interval == timing.ROW_CYCLES
    assert RowWalker.lookup_cycles == timing.LOOKUP_CYCLES
    assert WeightLoader.start_latency == timing.LOAD_LATENCY


@pytest.mark.parametrize("arch", SHAPES, ids=lambda arch: arch.name)
def test_figures_of_a_machine(arch: ArchConfig):
    assert ComputeUnit(arch).latency == timing.COMPUTE_LATENCY
    assert OperandLoader(arch).latency == timing.LOADER_LATENCY
    assert PostProcessor(arch).latency == timing.POST_LATENCY
    assert timing.softmax_latency(arch) == SoftmaxStatistics(arch).latency
    gate, norm = GateUnit(arch), LayerNorm(arch)
    for top_k in (1, 2, 5):
        assert timing.gate_latency(arch, top_k) == gate.latency(top_k)
        assert gate.interval(top_k) == top_k
    for rows, words in ((1, 1), (5, 1), (1, 4), (65, 6)):
        assert timing.norm_cycles(arch, rows, words) == norm.cycles(rows, words)
    assert arch.weight_ports + timing.LOAD_OVERHEAD == ChunkPlanner(arch).load_overhead


def test_memory_of_the_simulation():
    """The bandwidth that the simulated DDR saves up is what the estimate assumes."""
    text = (ROOT / "sim" / "hdl" / "hwgen_ddr.sv").read_text()
    found = re.search(r"parameter int BUCKET = (\d+)", text)
    assert found is not None
    assert int(found[1]) == SAVED_BYTES


def test_core_has_the_units_that_the_estimate_models():
    assert set(core.UNITS) == {"load", "io", "compute", "norm"}
    assert Core.engine_count == 2
