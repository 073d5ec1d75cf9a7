"""M3ViT-tiny, Edge-MoE's own network, whole, through the Verilog of the ZCU102 machine."""

import pytest

from benchmarks.cases import cases
from benchmarks.figures import OTHER, Figures, figures_of
from benchmarks.measure import measured
from hwgen.report.verification import Verification
from hwgen.spec.isa import Opcode, Unit

MOST_CYCLES = 450_000  # 1.5 ms at 300 MHz
MOST_WEIGHT_BYTES = {"": 18_000_000, "experts=4": 11_000_000}  # by the layers with four-bit weights


@pytest.fixture(scope="module", params=["m3vit-tiny/zcu102", "m3vit-tiny/zcu102/experts=4"])
def verification(request: pytest.FixtureRequest) -> Verification:
    return measured(cases([request.param])[0], lambda _: None)


@pytest.fixture(scope="module")
def figures(verification: Verification) -> Figures:
    return figures_of(verification)


def test_every_value_in_time(figures: Figures):
    assert figures.mismatches == 0
    assert figures.compared_values > 3_000_000
    assert figures.cycles <= MOST_CYCLES


def test_array_or_memory_is_busy(verification: Verification, figures: Figures):
    """Whichever bounds: the array for nine tenths of the frame, or DDR at nine tenths of what it can give."""
    array = figures.mac_cycles / figures.cycles
    memory = (figures.ddr_read_bytes + figures.ddr_write_bytes) / (
        figures.cycles * verification.design.board.bytes_per_cycle
    )
    assert max(array, memory) >= 0.9


def test_little_is_exposed(figures: Figures):
    """Waits of the array for anything, and what attention takes; every byte comes once."""
    waits = sum(cycles for cause, cycles in figures.exposed.items() if cause != OTHER)
    assert waits <= 0.05 * figures.cycles
    assert figures.attention_cycles <= 0.15 * figures.cycles
    assert figures.mac_utilisation >= 0.83
    assert figures.ddr_ratio <= 1.05


def test_weights_of_an_image(verification: Verification, figures: Figures):
    """Loaded by the program; parameters, tables, image and program are what else is read."""
    (item,) = verification.passes
    listing = verification.compiled.programs[item.run.task].listing
    words = sum(entry.fields["weight_words"] for entry in listing if entry.opcode is Opcode.LOAD_WEIGHTS)
    weights = words * verification.design.arch.tile_bytes
    assert weights <= MOST_WEIGHT_BYTES[figures.weights]
    assert 0 < figures.ddr_read_bytes - weights < 800_000


def test_weights_run_ahead_across_layers(verification: Verification):
    """The first weights of every layer are under way before the layer before it has ended."""
    (item,) = verification.passes
    times = item.run.instructions(verification.compiled.programs[item.run.task].listing)
    loads = {time.name: time for time in times if time.unit == Unit.LOAD.name}
    last = "blocks.{}.experts", "blocks.{}.fc2"
    ends = {time.name: time.end_cycle for time in times if time.unit == Unit.COMPUTE.name}
    for block in range(1, verification.design.model.depth):
        before = next(ends[name.format(block - 1)] for name in last if name.format(block - 1) in ends)
        assert before is not None
        assert (loads[f"blocks.{block}.query"].start_cycle or before) < before
