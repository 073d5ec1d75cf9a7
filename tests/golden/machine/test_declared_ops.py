"""What an operation declares is what the golden machine does: accesses, progress, ring words, and bytes of memory."""

from collections import Counter as Bag
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from golden.machine.buffers import Buffer
from golden.machine.machine import GoldenMachine
from golden.machine.progress import Guard, Progress
from golden.machine.rings import Ring
from golden.machine.state import MachineState
from hwgen.compiler.compile import Compiled, compile_model
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.buffers import ACTIVATION
from hwgen.spec.isa import Counter, Opcode
from hwgen.spec.model import ModelConfig
from hwgen.spec.ops import OPS
from hwgen.spec.ops.op import Access
from tests.compiler.programs import compiled, package
from tests.golden.pruned import PRUNED
from tests.golden.random_package import random_image, random_package
from tests.golden.test_compiled import run

RINGS = {"weight": "weight_ring", "parameter": "param_ring", "norm-parameter": "norm_ring"}
RUNS = [("odd", "sim"), ("one-head", "sim-3x8x16"), ("many-experts", "sim-1x8x64"), ("mixed-bits", "sim-2x16x16")]
SELECTIONS = {Opcode.SELECT, Opcode.GATHER, Opcode.SCATTER}
Place = tuple[str, int, int, int]  # memory, base, stride, words of a row


@dataclass
class Done:
    """What one instruction did."""

    reads: dict[tuple[Place, bool, bool], set[int]] = field(default_factory=dict)  # (place, by row, own) -> rows
    writes: dict[Place, set[int]] = field(default_factory=dict)
    counts: Bag[int] = field(default_factory=Bag)
    takes: Bag[str] = field(default_factory=Bag)
    moved: int = 0
    tables: set[str] = field(default_factory=set)


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Opcode, dict[str, int], Done]]]:
    """The instructions that golden machines execute meanwhile."""
    found: list[tuple[Opcode, dict[str, int], Done]] = []
    stack: list[Done] = []
    execute, read, write, advance, take, fetch, table = (
        GoldenMachine._execute, Guard.read, Buffer.write, Progress.advance, Ring.take, GoldenMachine._bytes,
        MachineState.table,
    )  # fmt: skip

    def executes(self: Any, pc: int, opcode: Opcode, fields: dict[str, int]) -> None:
        stack.append(Done())
        execute(self, pc, opcode, fields)
        found.append((opcode, fields, stack.pop()))

    def reads(self: Any, buffer: Buffer, region: Any, *, by_row: bool = False, own_writes: bool = False) -> Any:
        place = ((buffer.name, region.base, region.stride, region.words), by_row, own_writes)
        stack[-1].reads.setdefault(place, set()).update(region.rows.tolist())
        return read(self, buffer, region, by_row=by_row, own_writes=own_writes)

    def writes(self: Any, region: Any, *others: Any) -> None:
        place = (self.name, region.base, region.stride, region.words)
        stack[-1].writes.setdefault(place, set()).update(region.rows.tolist())
        write(self, region, *others)

    def advances(self: Any, counter: Counter, rows: int) -> None:
        stack[-1].counts[int(counter)] += rows
        advance(self, counter, rows)

    def takes(self: Any, count: int) -> Any:
        stack[-1].takes[RINGS[self.name]] += count
        return take(self, count)

    def fetches(self: Any, pc: int, address: int, count: int, code: Any) -> Any:
        if stack:  # instructions are fetched outside
            stack[-1].moved += count
        return fetch(self, pc, address, count, code)

    def looks_up(self: Any, guard: Guard, name: str) -> Any:
        stack[-1].tables.add(name)
        return table(self, guard, name)

    with monkeypatch.context() as patched:
        patched.setattr(MachineState, "table", looks_up)
        patched.setattr(GoldenMachine, "_execute", executes)
        patched.setattr(GoldenMachine, "_bytes", fetches)
        patched.setattr(Guard, "read", reads)
        patched.setattr(Buffer, "write", writes)
        patched.setattr(Progress, "advance", advances)
        patched.setattr(Ring, "take", takes)
        yield found


def place_of(access: Access) -> Place:
    return access.memory.name, access.base, access.stride, access.words


def rows_fit(access: Access, rows: set[int]) -> bool:
    """All rows, or some of them where queues name them."""
    return rows <= set(range(access.rows)) if access.by_queue else rows == set(range(access.rows))


@pytest.mark.parametrize(("model", "arch"), RUNS)
def test_the_golden_machine_does_what_is_declared(model: str, arch: str, monkeypatch: pytest.MonkeyPatch):
    check(compiled(model, arch), package(model).config, monkeypatch)


@pytest.mark.parametrize("arch", ["sim", "sim-1x8x64"])
def test_selections_do_what_is_declared(arch: str, monkeypatch: pytest.MonkeyPatch):
    config = PRUNED["pruned-fused"]
    check(compile_model(random_package(config, 5), ARCHS[arch]), config, monkeypatch)


def check(program: Compiled, config: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every instruction of every task, as its operation says."""
    machine_arch, image = program.arch, random_image(config)
    seen: Bag[Opcode] = Bag()
    with watched(monkeypatch) as done:
        for task in program.programs:
            run(program, image, task)
    for opcode, fields, did in done:
        op = OPS[opcode]
        seen[opcode] += 1
        # hidden rows of an expert never leave the golden machine's hands
        read = [item for item in op.reads(fields, machine_arch) if not (item.own and item.memory is ACTIVATION)]
        assert {(place_of(item), item.by_row, item.own) for item in read} == set(did.reads)
        assert all(rows_fit(item, did.reads[place_of(item), item.by_row, item.own]) for item in read)
        written = op.writes(fields, machine_arch)
        assert {place_of(item) for item in written} == set(did.writes)
        assert all(rows_fit(item, did.writes[place_of(item)]) for item in written)
        counter, rows = op.counts(fields)
        assert did.counts == (Bag({int(counter): rows}) if counter else Bag())
        assert did.takes == Bag(op.takes(fields))
        assert did.moved == op.moves(fields, machine_arch)
        assert did.tables == set(op.tables(fields))
    absent = {Opcode.END} | (set() if config.moe_blocks else {Opcode.EXPERTS}) | (set() if config.keep else SELECTIONS)
    assert set(seen) == set(Opcode) - absent
    assert sum(seen.values()) > 60
