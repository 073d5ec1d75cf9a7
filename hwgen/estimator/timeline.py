"""The whole machine on one clock: when every instruction of a program runs."""

from collections.abc import Mapping, Sequence

from hwgen.compiler.errors import CompileError
from hwgen.compiler.step import Step
from hwgen.estimator.compute import ComputeUnit
from hwgen.estimator.cycles import even_queues
from hwgen.estimator.dram import Ddr, ReadEngine, WeightLoader
from hwgen.estimator.io import IoEngine, Sequencer
from hwgen.estimator.issue import Issuer
from hwgen.estimator.machine import Instruction, Interval, Machine
from hwgen.estimator.norm import LayerNorm
from hwgen.spec import timing
from hwgen.spec.arch import ArchConfig
from hwgen.spec.board import Board
from hwgen.spec.isa import Opcode, Unit

Queues = Mapping[str, Sequence[int]]


def numbered(steps: Sequence[Step], queues: Queues | None) -> list[Instruction]:
    """Instructions with the lengths of their expert queues: those given, or even ones."""
    program: list[Instruction] = []
    name = ""  # of the lengths that the last gate has left
    for index, step in enumerate(steps):
        name = next((item.tensor for item in step.produced if item.channel == "gate" and len(item.shape) == 1), name)
        lengths: Sequence[int] = ()
        if step.opcode is Opcode.EXPERTS:
            even = even_queues(step)
            lengths = even if queues is None else queues[name]
            if (len(lengths), sum(lengths)) != (len(even), sum(even)):
                raise ValueError(
                    f"{name}: {len(lengths)} queues with {sum(lengths)} entries, expected {len(even)} with {sum(even)}"
                )
        program.append(Instruction(index=index, step=step, queues=tuple(int(rows) for rows in lengths)))
    return program


def run_machine(program: Sequence[Instruction], arch: ArchConfig, board: Board) -> Machine:
    """The machine after the program has ended."""
    machine = Machine(arch, board, program)
    ddr, compute = Ddr(board), ComputeUnit(machine)
    sequencer = Sequencer(machine, ReadEngine(machine, ddr))
    processes = (
        sequencer.fetch(),
        sequencer.dispatch(),
        IoEngine(machine, ReadEngine(machine, ddr)).run(),
        *WeightLoader(machine, ddr).processes(),
        compute.admit(),
        compute.expand(),
        compute.hand(),
        compute.load(),
        Issuer(compute).run(),
        LayerNorm(machine).run(),
    )
    for process in processes:
        machine.clock.at(0, process)
    machine.clock.run()
    for item in program:
        if item.step.opcode is not Opcode.END and item.index not in machine.starts:
            raise CompileError(f"{item.step.name} never starts: the program does not end on {arch.name}")
    return machine


def end_cycle(machine: Machine) -> int:
    """From the start to the interrupt."""
    return machine.idle_from + timing.END_LATENCY


def intervals(machine: Machine) -> list[Interval]:
    """Start and end of every instruction: the last word it writes, or the start of the next one on its unit."""
    finish = end_cycle(machine)
    ends = dict(machine.ends)
    for unit in (Unit.LOAD, Unit.IO):
        items = machine.queues[unit].items
        for item, following in zip(items, [*items[1:], None], strict=True):
            ends[item.index] = finish if following is None else machine.starts[following.index]
    return [
        Interval(start_cycle=machine.starts.get(item.index, finish), end_cycle=ends.get(item.index, finish))
        for item in machine.program
    ]
