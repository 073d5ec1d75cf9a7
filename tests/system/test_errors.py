"""Whatever goes wrong, the machine stops with a code and an instruction index, and the next start gives the image.

Every scenario is a task of one network whose program was changed; all run in one session, a good run after each.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from golden.network import run_network
from hwgen.compiler.compile import Compiled, Program, compile_model
from hwgen.compiler.listing import ListingEntry
from hwgen.driver.device import FILL
from hwgen.driver.workload import Workload
from hwgen.spec.arch import ArchConfig
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.encoding import encode, to_bytes
from hwgen.spec.isa import CHECKED_BYTES, INSTRUCTION_BYTES, Counter, Destination, ErrorCode, Opcode
from hwgen.spec.ops import OPS
from sim.options import ErrorRange
from sim.session import SimRun
from tests.golden.random_package import random_image, random_package
from tests.system.machines import check_run, run_machine, sim_options
from tests.system.networks import SEG, TINY

ARCH = ARCHS["sim"]
GOOD = "good"
WATCHDOG_CYCLES = 60_000  # several times what a good run takes
RANDOM_PROGRAMS, RANDOM_INSTRUCTIONS, DAMAGED_PROGRAMS = 6, 24, 20

Words = list[int]
Change = Callable[[Program, ArchConfig], Words]
Field = Callable[[ArchConfig], int]
Damage = Callable[[bytearray], int]  # changes a program as it lies in memory; index of the first wrong instruction


def find(program: Program, opcode: Opcode, **fields: int) -> ListingEntry:
    """The first instruction with this opcode and these fields."""
    for entry in program.listing:
        if entry.opcode is opcode and all(entry.fields[name] == value for name, value in fields.items()):
            return entry
    raise LookupError(f"no {opcode.name} with {fields}")


def changed_field(opcode: Opcode, where: dict[str, int], **values: Field) -> Change:
    """The program with other values in some fields of its first ``opcode``."""

    def change(program: Program, arch: ArchConfig) -> Words:
        entry = find(program, opcode, **where)
        words = list(program.words)
        words[entry.index] = encode(opcode, **{**entry.fields, **{name: of(arch) for name, of in values.items()}})
        return words

    return change


def only(*words: int) -> Change:
    """Another, short program."""
    return lambda program, arch: list(words)


def with_opcode(index: int, opcode: int) -> Change:
    """The program with another opcode in one instruction; ``index`` may count from the end."""

    def change(program: Program, arch: ArchConfig) -> Words:
        words = list(program.words)
        words[index] = words[index] & ~0xFF | opcode
        return words

    return change


def with_bit(opcode: Opcode, bit: int) -> Change:
    """The program with one more bit set in its first ``opcode``."""

    def change(program: Program, arch: ArchConfig) -> Words:
        words = list(program.words)
        words[find(program, opcode).index] |= 1 << bit
        return words

    return change


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A changed program and how it must end."""

    change: Change
    code: ErrorCode
    where: Callable[[Program], int] | None = None  # ERROR_PC


def at(opcode: Opcode, **fields: int) -> Callable[[Program], int]:
    """Index of the first instruction like this."""
    return lambda program: find(program, opcode, **fields).index


RESIDUAL = {"destination": int(Destination.RESIDUAL)}
KEY, VALUE = {"destination": int(Destination.KEY)}, {"destination": int(Destination.VALUE)}
OUT, ILLEGAL = ErrorCode.OUT_OF_BOUNDS, ErrorCode.ILLEGAL_INSTRUCTION


def out_of_bounds(
    opcode: Opcode, where: dict[str, int] | None = None, **values: Callable[[ArchConfig], int]
) -> Scenario:
    """One field of the first such instruction leads out of a buffer."""
    where = where or {}
    return Scenario(change=changed_field(opcode, where, **values), code=OUT, where=at(opcode, **where))


SCENARIOS: dict[str, Scenario] = {
    "illegal_opcode": Scenario(change=with_opcode(12, 0xEE), code=ILLEGAL, where=lambda program: 12),
    "opcode_zero_first": Scenario(change=with_opcode(0, 0), code=ILLEGAL, where=lambda program: 0),
    "no_end": Scenario(change=with_opcode(-1, 0xFF), code=ILLEGAL, where=lambda program: len(program.words) - 1),
    "reserved_bit": Scenario(change=with_bit(Opcode.LINEAR, 239), code=ILLEGAL, where=at(Opcode.LINEAR)),
    "lowest_reserved_bit": Scenario(
        change=with_bit(Opcode.STORE, OPS[Opcode.STORE].bits), code=ILLEGAL, where=at(Opcode.STORE)
    ),
    "result_too_long": Scenario(
        change=changed_field(Opcode.STORE, {}, beats=lambda arch: 1 << 12),
        code=ErrorCode.RESULT_BOUND,
        where=at(Opcode.STORE),
    ),
    "position_too_long": out_of_bounds(Opcode.LOAD_POSITION, dst_base=lambda arch: arch.residual_words - 1),
    "patches_too_far": out_of_bounds(Opcode.LOAD_PATCHES, dst_base=lambda arch: arch.activation_words - 1),
    "table_too_long": out_of_bounds(Opcode.LOAD_TABLE, words=lambda arch: 2048),
    "norm_source": out_of_bounds(Opcode.LAYERNORM, src_base=lambda arch: arch.residual_words),
    "norm_target": out_of_bounds(Opcode.LAYERNORM, dst_base=lambda arch: arch.norm_words - 1),
    "linear_source": out_of_bounds(Opcode.LINEAR, RESIDUAL, src_base=lambda arch: arch.activation_words),
    "linear_residual": out_of_bounds(Opcode.LINEAR, RESIDUAL, dst_base=lambda arch: arch.residual_words - 1),
    "linear_key": out_of_bounds(Opcode.LINEAR, KEY, dst_base=lambda arch: arch.key_words),
    "linear_value": out_of_bounds(Opcode.LINEAR, VALUE, dst_base=lambda arch: 65535),
    "scores_target": out_of_bounds(Opcode.SCORES, score_base=lambda arch: arch.score_words - 1),
    "scores_key": out_of_bounds(Opcode.SCORES, key_offset=lambda arch: arch.key_words),
    "context_value": out_of_bounds(Opcode.CONTEXT, value_offset=lambda arch: arch.value_words),
    "context_source": out_of_bounds(Opcode.CONTEXT, score_base=lambda arch: arch.score_words),
    "experts_hidden": out_of_bounds(Opcode.EXPERTS, hidden_base=lambda arch: arch.activation_words),
    "experts_residual": out_of_bounds(Opcode.EXPERTS, dst_base=lambda arch: arch.residual_words),
    "waits_for_ever": Scenario(
        change=changed_field(Opcode.LAYERNORM, {}, wait_a_base=lambda arch: 1000), code=ErrorCode.WATCHDOG
    ),
    "weights_never_come": Scenario(
        change=only(encode(Opcode.LINEAR, rows=1, in_chunks=1, out_tiles=1), encode(Opcode.END)),
        code=ErrorCode.WATCHDOG,
    ),
    "results_never_come": Scenario(
        change=only(encode(Opcode.STORE, beats=4), encode(Opcode.END)), code=ErrorCode.WATCHDOG
    ),
}
FINE: dict[str, Change] = {
    "end_only": only(encode(Opcode.END)),
    "nothing_to_store": only(encode(Opcode.STORE, beats=0), encode(Opcode.END)),
    "nothing_to_load": only(encode(Opcode.LOAD_WEIGHTS), encode(Opcode.LOAD_PATCHES), encode(Opcode.END)),
    "end_before_the_rest": lambda program, arch: [encode(Opcode.END), *program.words[1:]],
}


def random_words(seed: int) -> Words:
    """Instructions with legal opcodes and random fields; every fourth has a random bit where no field is."""
    rng = np.random.default_rng(seed)
    words: Words = []
    for _ in range(RANDOM_INSTRUCTIONS):
        opcode = list(OPS)[rng.integers(1, len(OPS))]
        word = int.from_bytes(rng.bytes(INSTRUCTION_BYTES), "little")
        if rng.random() < 0.5:
            word &= int.from_bytes(rng.bytes(INSTRUCTION_BYTES), "little")
        bits = OPS[opcode].bits
        reserved = int(rng.random() < 0.25) << int(rng.integers(bits, 8 * CHECKED_BYTES))
        words.append(word & (1 << bits) - 1 & ~0xFF | int(opcode) | reserved)
    return [*words, encode(Opcode.END)]


def damaged(seed: int) -> Change:
    """The program with a random value in one field of one instruction, END excepted."""

    def change(program: Program, arch: ArchConfig) -> Words:
        rng = np.random.default_rng(seed)
        words = list(program.words)
        entry = program.listing[rng.integers(len(words) - 1)]
        item = OPS[entry.opcode].fields[rng.integers(len(OPS[entry.opcode].fields))]
        value = int.from_bytes(rng.bytes(8), "little") & (1 << item.width - item.signed) - 1
        words[entry.index] = encode(entry.opcode, **{**entry.fields, item.name: value})
        return words

    return change


FUZZ: dict[str, Change] = {
    **{f"random_{seed}": only(*random_words(seed)) for seed in range(RANDOM_PROGRAMS)},
    **{f"damaged_{seed}": damaged(seed) for seed in range(DAMAGED_PROGRAMS)},
}


def flipped(seed: int) -> Damage:
    """One to three bits of the program in memory differ from what was written."""

    def damage(data: bytearray) -> int:
        rng = np.random.default_rng(seed)
        places = rng.choice(8 * len(data), size=rng.integers(1, 4), replace=False)
        for place in places:
            data[place // 8] ^= 1 << place % 8
        return int(places.min()) // (8 * INSTRUCTION_BYTES)

    return damage


def moved(*order: int) -> Damage:
    """Instructions of the program are in other places: ``order[i]`` is the one that lies at place i."""

    def damage(data: bytearray) -> int:
        before = bytes(data)
        for place, source in enumerate(order):
            part = slice(source * INSTRUCTION_BYTES, (source + 1) * INSTRUCTION_BYTES)
            data[place * INSTRUCTION_BYTES : (place + 1) * INSTRUCTION_BYTES] = before[part]
        return next(place for place, source in enumerate(order) if place != source)

    return damage


DAMAGE: dict[str, Damage] = {
    **{f"flipped_{seed}": flipped(seed) for seed in range(16)},
    "swapped": moved(0, 1, 2, 4, 3),
    "dropped": moved(0, 1, *range(3, 20)),
    "doubled": moved(0, 1, 2, 2, *range(3, 20)),
    "zeros": lambda data: data.__setitem__(slice(6 * INSTRUCTION_BYTES, None), bytes(len(data) - 192)) or 6,
}
RANGES = ("program", "table", "position", "weights", "weights-last", "image", "result")
NETWORK = replace(
    TINY, name="errors", tasks=tuple(replace(SEG, name=name) for name in (GOOD, *SCENARIOS, *FINE, *FUZZ, *DAMAGE))
)


@dataclass(frozen=True)
class Session:
    """All runs by name, and the good run that followed each."""

    compiled: Compiled
    runs: dict[str, SimRun]
    after: dict[str, SimRun]


def _changed(compiled: Compiled) -> Compiled:
    image = compiled.image.copy()
    for name, change in {**{name: item.change for name, item in SCENARIOS.items()}, **FINE, **FUZZ}.items():
        program = compiled.programs[name]
        words = change(program, compiled.arch)
        data = to_bytes(words)
        assert len(data) <= len(program.words) * INSTRUCTION_BYTES
        image[program.offset : program.offset + len(data)] = np.frombuffer(data, np.uint8)
    for name, damage in DAMAGE.items():
        program = compiled.programs[name]
        data = bytearray(to_bytes(list(program.words)))
        damage(data)
        image[program.offset : program.offset + len(data)] = np.frombuffer(data, np.uint8)
    return replace(compiled, image=image)


def _error_range(compiled: Compiled, name: str) -> tuple[ErrorRange, ErrorCode, int | None]:
    """Memory that answers with an error; code and, where it is certain, instruction."""
    workload, program = Workload.from_compiled(compiled), compiled.programs[GOOD]
    loads = [entry for entry in program.listing if entry.opcode is Opcode.LOAD_WEIGHTS]
    read, write = ErrorCode.AXI_READ, ErrorCode.AXI_WRITE
    offset_of = {
        "table": (find(program, Opcode.LOAD_TABLE, table=3), read),
        "position": (find(program, Opcode.LOAD_POSITION), read),
        "weights": (loads[0], read),
        "weights-last": (loads[-1], read),
    }
    if name in offset_of:
        entry, code = offset_of[name]
        return ErrorRange(offset=entry.fields["offset"], size=16), code, entry.index
    if name == "image":
        place = workload.image_offset + 40 * NETWORK.image_width
        return ErrorRange(offset=place, size=16), read, find(program, Opcode.LOAD_PATCHES).index
    if name == "result":
        return ErrorRange(offset=workload.result_offset + 64, size=16), write, find(program, Opcode.STORE).index
    return ErrorRange(offset=program.offset + 20 * INSTRUCTION_BYTES, size=16), read, None


@pytest.fixture(scope="module")
def session() -> Session:
    """Every scenario once, a good run after each; then the error ranges on the good program."""
    package = random_package(NETWORK, 41)
    compiled = _changed(compile_model(package, ARCH))
    names = [*SCENARIOS, *FINE, *FUZZ, *DAMAGE]
    tasks = [task for name in names for task in (name, GOOD)] + [GOOD] * (2 * len(RANGES))
    first = 2 * len(names)
    ranges = {first + 2 * number: _error_range(compiled, name)[0] for number, name in enumerate(RANGES)}
    options = sim_options(errors_are_results=True, watchdog_cycles=WATCHDOG_CYCLES, error_ranges=ranges)
    runs = run_machine(compiled, [random_image(NETWORK, 41)], tasks, options=options).runs
    assert len(runs) == len(tasks)
    order = [*names, *RANGES]
    return Session(compiled, dict(zip(order, runs[::2], strict=True)), dict(zip(order, runs[1::2], strict=True)))


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    return run_network(random_package(NETWORK, 41), random_image(NETWORK, 41), GOOD)


@pytest.mark.parametrize("name", SCENARIOS)
def test_program_errors(name: str, session: Session):
    """The code, and the instruction that did it."""
    scenario, program, run = SCENARIOS[name], session.compiled.programs[name], session.runs[name]
    assert run.error is not None, "the machine did not notice"
    assert run.data is None
    assert (run.error.name, run.error.code) == (scenario.code.name, int(scenario.code))
    if scenario.where is not None:
        assert run.error.pc == scenario.where(program)
    else:
        assert 0 < run.error.pc < len(program.words)
        assert run.simulated_cycles >= WATCHDOG_CYCLES
    assert run.simulated_cycles < WATCHDOG_CYCLES + 5000


@pytest.mark.parametrize("name", RANGES)
def test_memory_errors(name: str, session: Session):
    """A bad response stops the machine with the instruction that asked."""
    _, code, pc = _error_range(session.compiled, name)
    error = session.runs[name].error
    assert error is not None, "the machine did not notice"
    assert (error.name, error.code) == (code.name, int(code))
    if pc is not None:
        assert error.pc == pc
    assert session.runs[name].simulated_cycles < WATCHDOG_CYCLES


@pytest.mark.parametrize("name", FINE)
def test_programs_that_do_nothing(name: str, session: Session):
    """They end at once, without an error, and leave the result alone."""
    run = session.runs[name]
    assert run.error is None
    assert run.data is not None
    assert np.all(run.data.view(np.uint8) == FILL)
    assert 0 < run.cycles < 2000
    assert run.counters["MAC_CYCLES"] == 0
    assert run.counters["WRITE_BEATS"] == 0


@pytest.mark.parametrize("name", FUZZ)
def test_random_programs_end(name: str, session: Session):
    """No program hangs the machine: it ends, or says why not."""
    run = session.runs[name]
    assert run.simulated_cycles < WATCHDOG_CYCLES + 70_000
    if run.error is not None:
        assert run.error.code in {int(code) for code in ErrorCode} - {0}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_memory(name: str, session: Session):
    """An instruction that is not the one that was written at its index is never run."""
    error = session.runs[name].error
    assert error is not None, "the machine did not notice"
    assert error.code == ErrorCode.CHECKSUM
    words = list(session.compiled.programs[name].words)
    assert error.pc == DAMAGE[name](bytearray(to_bytes(words)))


def test_unaligned_pointers():
    """A memory that does not begin at a multiple of 16 is refused before anything is read."""
    compiled = compile_model(random_package(TINY, 41), ARCH)
    options = sim_options(errors_are_results=True, memory_base=0x8_0000_0008)
    (run,) = run_machine(compiled, [random_image(TINY, 41)], [TINY.tasks[0].name], options=options).runs
    assert run.error is not None
    assert (run.error.code, run.error.pc) == (ErrorCode.UNALIGNED, 0)
    assert run.ddr_read_bytes == 0


def test_random_programs_are_caught(session: Session):
    """Most of them are refused for what they are, not only by the watchdog."""
    codes = [run.error.code for name in FUZZ if (run := session.runs[name]).error is not None]
    assert len(codes) >= RANDOM_PROGRAMS
    assert {int(ErrorCode.OUT_OF_BOUNDS), int(ErrorCode.AXI_READ)} <= set(codes)


@pytest.mark.parametrize("name", [*SCENARIOS, *FINE, *FUZZ, *DAMAGE, *RANGES])
def test_the_next_start_works(name: str, session: Session, golden: dict[str, np.ndarray]):
    """All tensors of the good run behind it."""
    checked = check_run(session.compiled, session.after[name], golden)
    assert checked.run.task == GOOD
    assert checked.comparison.values > 5000


def test_good_runs_take_the_same_time(session: Session):
    """Nothing of an error is left: every good run takes as many cycles as after a program that does nothing."""
    cycles = {name: run.cycles for name, run in session.after.items()}
    reference = cycles["end_only"]
    spread = {name: count for name, count in cycles.items() if abs(count - reference) > reference // 50}
    assert spread == {}
    assert reference < WATCHDOG_CYCLES // 2


def test_counters_name_no_reserved_code():
    """The codes that these tests provoke are all there are."""
    provoked = {scenario.code for scenario in SCENARIOS.values()} | {ErrorCode.AXI_READ, ErrorCode.AXI_WRITE}
    provoked |= {ErrorCode.CHECKSUM, ErrorCode.UNALIGNED, ErrorCode.BUS}  # BUS: test_silence.py
    assert provoked == set(ErrorCode) - {ErrorCode.NONE}
    assert int(Counter.NONE) == 0
