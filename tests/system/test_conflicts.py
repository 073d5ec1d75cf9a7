"""The IO engine loads beside the post-processor, which shares its write ports: unordered, the simulation fails."""

import pytest

from golden.network import run_network
from hwgen.compiler.compile import Compiled, compile_model
from hwgen.compiler.step import Step
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.isa import Counter, Opcode
from sim.runner import SimulationError
from tests.system.changed_programs import steps_of, with_steps
from tests.system.machines import check_run, run_machine, sim_options
from tests.system.networks import random_network

ARCH = ARCHS["sim"]
NETWORK = random_network(5, depth=1, moe_blocks=(), experts=0, top_k=0, expert_hidden=0)
TASK = NETWORK.config.tasks[0].name
SPARE = "tables.gate_exp2"  # a load that this network does not need
# A second load into each of the two memories, and the count behind which it falls among the post-processor's writes:
# while the array embeds the patches; and, beats of memory being on the way for long, when the first LayerNorm ends.
BESIDE = {
    "residual": (Opcode.LOAD_POSITION, (Counter.PATCH, 1)),
    "activation": (Opcode.LOAD_PATCHES, (Counter.NORM, NETWORK.config.tokens - 1)),
}
BEHIND = (Counter.RESULT, 1)  # a row of the head: nothing is written behind it


def with_second_load(memory: str, wait: tuple[Counter, int]) -> Compiled:
    """Behind the loads, one of them again, in place of a table."""
    compiled = compile_model(NETWORK.package, ARCH)
    steps = steps_of(compiled, TASK)
    spare = next(index for index, step in enumerate(steps) if step.name == SPARE)
    opcode, _ = BESIDE[memory]
    last = max(index for index, step in enumerate(steps) if step.opcode in (Opcode.LOAD_POSITION, Opcode.LOAD_PATCHES))
    (again,) = (step for step in steps if step.opcode is opcode)
    waits = {"wait_b": int(wait[0]), "wait_b_base": wait[1]}
    second = Step(opcode=opcode, name="again", fields=again.fields | waits)
    return with_steps(compiled, TASK, [*steps[:spare], *steps[spare + 1 : last + 1], second, *steps[last + 1 :]])


@pytest.mark.parametrize("memory", BESIDE)
def test_an_unordered_load_fails(memory: str):
    """Memory and cycle are named, with traces and without."""
    compiled = with_second_load(memory, BESIDE[memory][1])
    for trace in (False, True):
        with pytest.raises(SimulationError, match=rf"both wrote the {memory} buffer in cycle [\d,]+"):
            run_machine(compiled, [NETWORK.image], [TASK], options=sim_options(trace=trace))


@pytest.mark.parametrize("memory", BESIDE)
def test_an_ordered_load_is_fine(memory: str):
    """The same load behind everything that the post-processor writes there."""
    (run,) = run_machine(with_second_load(memory, BEHIND), [NETWORK.image], [TASK]).runs
    check_run(with_second_load(memory, BEHIND), run, run_network(NETWORK.package, NETWORK.image, TASK))
