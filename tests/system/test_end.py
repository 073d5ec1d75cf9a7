"""END waits for everything before it: a program that is cut anywhere ends when its last word is written, not before."""

from dataclasses import replace

import numpy as np
import pytest

from hwgen.compiler.compile import Compiled, compile_model
from hwgen.rtl.control.sequencer import Sequencer
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.encoding import encode, to_bytes
from hwgen.spec.isa import ErrorCode, Opcode, Unit
from sim.session import SimRun
from tests.golden.random_package import random_image, random_package
from tests.system.machines import run_machine, sim_options
from tests.system.networks import SEG, TINY

ARCH = ARCHS["sim"]
WATCHDOG_CYCLES = 20_000  # ends what is cut between a load and what would have made room for it
HOST_CYCLES = 3  # interrupt to its notice by the simulated host: registers of done, ISR and host
WHOLE = "whole"
CHANNELS = ("post", "norm", "gate")
BEHIND = (Unit.COMPUTE, Unit.NORM, Unit.IO)


def _cuts() -> dict[str, int]:
    """Name of a task -> instructions that are left of its program."""
    program = compile_model(random_package(TINY, 41), ARCH).programs[TINY.tasks[0].name]
    return {
        f"cut_{entry.index}": entry.index + 1
        for entry in program.listing
        if entry.unit in BEHIND and entry.opcode not in (Opcode.LOAD_TABLE, Opcode.STORE)
    }


CUTS = _cuts()
NETWORK = replace(TINY, name="cuts", tasks=tuple(replace(SEG, name=name) for name in (WHOLE, *CUTS)))


@pytest.fixture(scope="module")
def runs() -> dict[str, SimRun]:
    """Every cut program once, and the whole one."""
    compiled = _cut(compile_model(random_package(NETWORK, 41), ARCH))
    options = sim_options(errors_are_results=True, watchdog_cycles=WATCHDOG_CYCLES)
    found = run_machine(compiled, [random_image(NETWORK, 41)], [WHOLE, *CUTS], options=options).runs
    return dict(zip((WHOLE, *CUTS), found, strict=True))


def _cut(compiled: Compiled) -> Compiled:
    image = compiled.image.copy()
    for name, length in CUTS.items():
        program = compiled.programs[name]
        data = to_bytes([*program.words[:length], encode(Opcode.END)])
        image[program.offset : program.offset + len(data)] = np.frombuffer(data, np.uint8)
    return replace(compiled, image=image)


def records(run: SimRun, length: int) -> dict[str, np.ndarray]:
    """Trace of the first ``length`` instructions; every task has gates of its own, so their values differ."""
    assert run.trace is not None
    return {name: run.trace[name][run.trace[name]["pc"] < length] for name in CHANNELS}


def test_every_cut_program_ends_after_its_last_word(runs: dict[str, SimRun]):
    """Nothing is written after the interrupt, and everything before it; the end follows the last word at once."""
    ended, gaps = 0, []
    for name, length in CUTS.items():
        run = runs[name]
        if run.error is not None:
            assert run.error.code == ErrorCode.WATCHDOG
            continue
        ended += 1
        found, whole = records(run, length), records(runs[WHOLE], length)
        for channel in CHANNELS:
            assert sorted(found[channel]["pc"]) == sorted(whole[channel]["pc"]), (name, channel)
        cycles = np.concatenate([found[channel]["cycle"] for channel in CHANNELS])
        if cycles.size:
            gaps.append(run.interrupt_cycle - int(cycles.max()))
    assert ended > len(CUTS) // 2
    assert min(gaps) >= Sequencer.end_latency + HOST_CYCLES, sorted(gaps)
