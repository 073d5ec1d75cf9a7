"""wait_b of LAYERNORM and of IO in a whole machine: results stay, cycles are those of the estimate."""

from dataclasses import dataclass, replace

import numpy as np

from golden.network import run_network
from hwgen.compiler.compile import Compiled, compile_model
from hwgen.compiler.step import Step
from hwgen.estimator.estimate import end_cycle, numbered, run_machine
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.isa import Counter, Opcode, Unit
from hwgen.spec.ops import OPS
from hwgen.store.boards import board
from sim.session import simulate
from tests.emitted import verilog_of
from tests.system.changed_programs import steps_of, with_steps
from tests.system.machines import check_run, sim_options
from tests.system.networks import random_network

ARCH = ARCHS["sim"]
BOARD = replace(board("sim"), ddr=replace(board("sim").ddr, refresh_cycles=0))  # cycles do not depend on the start
NETWORK = random_network(3, moe_blocks=(), experts=0, top_k=0, expert_hidden=0)
TASK = NETWORK.config.tasks[0].name
UNITS = (Unit.IO, Unit.NORM)
NEAR = 5  # cycles by which the estimate misses a start behind the array, with waits or without


@dataclass(frozen=True, kw_only=True)
class Found:
    """Starts of LAYERNORM and IO by index, from the first one on, and cycles of the run: measured, and estimated."""

    measured: dict[int, int]
    expected: dict[int, int]
    cycles: int
    estimate: int


def with_waits(steps: list[Step]) -> list[Step]:
    """LAYERNORM and IO wait for all rows of the residual stream so far, STORE for those of the context."""
    totals, changed = dict.fromkeys(Counter, 0), list[Step]()
    for step in steps:
        awaited = Counter.CONTEXT if step.opcode is Opcode.STORE else Counter.RESIDUAL
        wait = {"wait_b": int(awaited), "wait_b_base": totals[awaited]}
        changed.append(replace(step, fields=step.fields | wait) if OPS[step.opcode].unit in UNITS else step)
        counted, rows = OPS[step.opcode].counts(step.fields)
        totals[counted] += rows
    return changed


def found(compiled: Compiled, steps: list[Step]) -> Found:
    """A run of these instructions with every value compared, and its estimate."""
    compiled = with_steps(compiled, TASK, steps)
    (run,) = simulate(verilog_of(ARCH.name), ARCH, BOARD, compiled, [NETWORK.image], [TASK], sim_options()).runs
    check_run(compiled, run, run_network(NETWORK.package, NETWORK.image, TASK))
    listing = compiled.programs[TASK].listing
    starts = {item.index: item.start_cycle for item in run.instructions(listing) if item.start_cycle is not None}
    machine = run_machine(numbered(steps, None), ARCH, BOARD)
    mine = [entry.index for entry in listing if entry.unit in UNITS]
    return Found(
        measured={index: starts[index] - starts[0] for index in mine},
        expected={index: machine.starts[index] - machine.starts[0] for index in mine},
        cycles=run.cycles,
        estimate=end_cycle(machine),
    )


def test_waits_cost_what_the_estimate_says():
    """Loads start in the very cycle, and the run as a whole takes as many cycles more as estimated."""
    compiled = compile_model(NETWORK.package, ARCH)
    steps = steps_of(compiled, TASK)
    without, waiting = found(compiled, steps), found(compiled, with_waits(steps))
    loads = [index for index, step in enumerate(steps) if OPS[step.opcode].unit is Unit.IO][:-2]
    assert len(loads) == 6
    for run in (without, waiting):
        assert {index: run.measured[index] for index in loads} == {index: run.expected[index] for index in loads}
        assert all(abs(run.measured[index] - at) <= NEAR for index, at in run.expected.items())
    assert [waiting.measured[index] - without.measured[index] for index in loads] == [0, 1, 2, 3, 4, 5]
    assert waiting.cycles - without.cycles == waiting.estimate - without.estimate > 50


def test_a_layernorm_that_waits_starts_behind_all_rows():
    """The rows of the change before it have been written when it starts."""
    compiled = compile_model(NETWORK.package, ARCH)
    compiled = with_steps(compiled, TASK, with_waits(steps_of(compiled, TASK)))
    (run,) = simulate(verilog_of(ARCH.name), ARCH, BOARD, compiled, [NETWORK.image], [TASK], sim_options()).runs
    assert run.trace is not None
    listing, post, starts = compiled.programs[TASK].listing, run.trace["post"], run.trace["start_norm"]
    writers = [entry.index for entry in listing if OPS[entry.opcode].counts(entry.fields)[0] is Counter.RESIDUAL]
    for pc, cycle in zip(starts["pc"].tolist(), starts["cycle"].tolist(), strict=True):
        before = post["cycle"][np.isin(post["pc"], [index for index in writers if index < pc])]
        assert cycle == before.max() + 2, "the count shows in the next cycle, the wait is over in the one after"
