"""What every program relies on besides its waits, seen in the traces of runs on memories of every speed.

Rows of each stage appear in program order, LayerNorm takes an instruction when the one before is finished, and nothing
is made of rows that have not been counted (docs/architecture.md, "The order of the machine").
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from golden.network import run_network
from hwgen.compiler.compile import Compiled, compile_model
from hwgen.compiler.listing import ListingEntry
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.isa import Counter, Destination, Opcode, Unit
from hwgen.spec.ops import OPS
from hwgen.spec.trace import START_PREFIX
from hwgen.store.boards import board
from sim.session import SimRun, simulate
from sim.trace import Records, of_instruction
from tests.emitted import verilog_of
from tests.system.machines import check_run, sim_options
from tests.system.networks import DEPTH, SEG, random_network

ARCH = ARCHS["sim"]
NETWORK = random_network(9, tasks=(SEG, DEPTH))
BEFORE = -1  # a cycle before any that is traced
# Read latency, bytes a cycle of all ports, share of stalled cycles on every channel, seed
MEMORIES = {
    "fast": (100, 1000.0, 0.0, 1),
    "stalled": (100, 30.0, 0.6, 2),
    "slow": (400, 4.0, 0.2, 3),
}
Seen = tuple[Compiled, SimRun]


@pytest.fixture(scope="module", params=MEMORIES)
def seen(request: pytest.FixtureRequest) -> list[Seen]:
    """Every task once, every value compared."""
    latency, rate, stall, seed = MEMORIES[request.param]
    sim = board("sim")
    memory = replace(
        sim,
        ddr=replace(sim.ddr, read_latency_cycles=latency, peak_gb_per_s=rate * sim.clock_mhz / 1000, efficiency=1.0),
    )
    compiled = compile_model(NETWORK.package, ARCH)
    options, tasks = sim_options(stall=stall, seed=seed), list(compiled.programs)
    runs = simulate(verilog_of(ARCH.name), ARCH, memory, compiled, [NETWORK.image], tasks, options).runs
    for run in runs:
        check_run(compiled, run, run_network(NETWORK.package, NETWORK.image, run.task))
    return [(compiled, run) for run in runs]


def _records(run: SimRun, channel: str) -> Records:
    assert run.trace is not None
    return run.trace[channel]


def test_rows_of_the_post_processor_come_in_program_order(seen: list[Seen]):
    """Instruction by instruction; in one, tile of rows, output tile, row; scores: queries end in ascending order."""
    for compiled, run in seen:
        post, listing = _records(run, "post"), compiled.programs[run.task].listing
        assert post["cycle"].tolist() == sorted(set(post["cycle"].tolist())), "at most one row a cycle"
        assert post["pc"].tolist() == sorted(post["pc"].tolist())
        for entry in listing:
            own = of_instruction(post, entry.index)
            places = list(zip(own["row"].tolist(), own["word"].tolist(), strict=True))
            if entry.opcode in (Opcode.LINEAR, Opcode.CONTEXT):
                assert places == sorted(places, key=lambda at: (at[0] // ARCH.token_lanes, at[1], at[0]))
            if entry.opcode is Opcode.SCORES:
                last = {row: place for place, (row, _) in enumerate(places)}
                assert list(dict(sorted(last.items(), key=lambda item: item[1]))) == list(range(entry.fields["rows"]))


def test_rows_of_layernorm_come_in_program_order(seen: list[Seen]):
    """Instruction by instruction, row by row, word by word; one starts behind the last word of the one before."""
    for _, run in seen:
        norm, starts = _records(run, "norm"), _records(run, f"{START_PREFIX}norm")
        places = [(int(record["pc"]), int(record["row"]), int(record["word"])) for record in norm]
        assert places == sorted(set(places))
        assert norm["cycle"].tolist() == sorted(norm["cycle"].tolist())
        for before, after in pairwise(starts):
            assert after["cycle"] > of_instruction(norm, before["pc"])["cycle"].max()


def test_units_start_in_program_order(seen: list[Seen]):
    """Every instruction once."""
    for compiled, run in seen:
        for unit in (Unit.LOAD, Unit.IO, Unit.COMPUTE, Unit.NORM):
            starts = _records(run, f"{START_PREFIX}{unit.name.lower()}")
            indices = [entry.index for entry in compiled.programs[run.task].listing if entry.unit is unit]
            assert starts["pc"].tolist() == indices
            assert starts["cycle"].tolist() == sorted(starts["cycle"].tolist())


def _counted(run: SimRun, listing: tuple[ListingEntry, ...]) -> dict[Counter, list[int]]:
    """Counter -> cycle of the last word of every row that it counts, in the order of the counts."""
    cycles: dict[Counter, list[int]] = defaultdict(list)
    for entry in listing:
        counter, rows = OPS[entry.opcode].counts(entry.fields)
        gate = entry.opcode is Opcode.LINEAR and entry.fields["destination"] == Destination.GATE
        own = of_instruction(
            _records(run, "gate" if gate else "norm" if entry.unit is Unit.NORM else "post"), entry.index
        )
        if entry.unit is Unit.IO:
            cycles[counter] += [BEFORE] * rows
        elif entry.opcode is Opcode.EXPERTS:
            cycles[counter] += [int(own["cycle"].max())] * rows
        else:
            row = own["token" if gate else "row"]
            cycles[counter] += [int(own["cycle"][row == number].max()) for number in range(rows)]
    return cycles


def _made(run: SimRun, listing: tuple[ListingEntry, ...]) -> Iterator[tuple[ListingEntry, dict[int, int]]]:
    """Every instruction that waits and that makes rows, with the cycle of the first word of each."""
    for entry in listing:
        own = of_instruction(_records(run, "norm" if entry.unit is Unit.NORM else "post"), entry.index)
        first: dict[int, int] = {}
        for row, cycle in zip(own["row"].tolist(), own["cycle"].tolist(), strict=True):
            first.setdefault(row, cycle)
        if first:
            yield entry, first


def test_a_count_means_written(seen: list[Seen]):
    """What is made of a row, or of all that was waited for, comes behind the last word of what was counted."""
    checked: dict[Counter, int] = defaultdict(int)
    for compiled, run in seen:
        listing = compiled.programs[run.task].listing
        counted = _counted(run, listing)
        for entry, made in _made(run, listing):
            f = entry.fields
            by_row, whole = Counter(f.get("wait_a", 0)), Counter(f.get("wait_b", 0))
            if whole and f["wait_b_base"]:
                assert min(made.values()) > counted[whole][f["wait_b_base"] - 1], entry.name
                checked[whole] += 1
            if by_row:
                for row, cycle in made.items():
                    assert cycle > counted[by_row][f["wait_a_base"] + row], (entry.name, row)
                    checked[by_row] += 1
    assert set(checked) == set(Counter) - {Counter.NONE, Counter.RESULT}
