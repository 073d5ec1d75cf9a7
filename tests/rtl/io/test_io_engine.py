"""IO engine: its four instructions one after another on random memories, faults and halt."""

import random
from collections import deque
from collections.abc import Callable

import numpy as np
import pytest
from amaranth.sim import Simulator

from golden.patches import patch_rows
from hwgen.rtl.io.io_engine import IoEngine
from hwgen.rtl.io.table_loader import TableLoader
from hwgen.spec.encoding import encode
from hwgen.spec.isa import Counter, ErrorCode, Opcode
from tests.rtl.arches import small_arch
from tests.rtl.axi_bench import PulseLog, ReadSlave, StreamSource, WriteSlave, ddr_beat, wait_until
from tests.rtl.clock import add_clock

MODEL, IMAGE, RESULT = 0x1_0000, 0x2_0000, 0x3_0000_0FE0


class Machine:
    """An IO engine with memory behind it and logs on everything it drives."""

    def __init__(self, words: list[int], stall: float = 0.0, results: int = 0, lanes: int = 16, **changes) -> None:
        self.arch = arch = small_arch(2, 8, lanes, **changes)
        self.dut = dut = IoEngine(arch)
        self.result_bytes = 0
        self.sim = Simulator(dut)
        add_clock(self.sim)
        self.reads = ReadSlave(dut.read_bus, stall, 2, 9, burst_limit=arch.burst_beats, outstanding=arch.outstanding)
        self.writes = WriteSlave(dut.write_bus, stall, 3, burst_limit=arch.burst_beats, response_latency=12)
        self.source = StreamSource(
            dut.instructions, [{"word": word, "pc": 100 + i} for i, word in enumerate(words)], stall, 4
        )
        rng = random.Random(8)
        self.result_words = [rng.getrandbits(16 * lanes) for _ in range(results)]
        self.results = StreamSource(dut.results, self.result_words, stall, 5)
        port, act = dut.residual, dut.activation
        self.table = PulseLog(dut.table.enable, dut.table.table, dut.table.address, dut.table.data)
        self.residual = PulseLog(port.enable, port.address, port.data)
        self.activation = PulseLog(act.enable.any(), act.enable, act.address, act.data)
        self.progress = PulseLog(dut.progress.valid, dut.progress.counter, dut.progress.count)
        self.faults = PulseLog(dut.fault.valid, dut.fault.code, dut.fault.pc)
        self.started = PulseLog(dut.started, dut.pc)
        self.finished = PulseLog(dut.finished, dut.pc)
        self.logs = (self.table, self.residual, self.activation, self.progress, self.faults)
        for part in (self.reads, self.writes, self.source, self.results, self.started, self.finished, *self.logs):
            self.sim.add_process(part.process)

    def count(self, counts: Callable[[int], dict[Counter, int]]) -> None:
        """Progress counters in every cycle."""

        async def drive(ctx):
            cycle = 1  # as the logs number them
            while True:
                for counter, value in counts(cycle).items():
                    ctx.set(self.dut.counters[counter], value)
                await ctx.tick()
                cycle += 1

        self.sim.add_testbench(drive, background=True)

    def hold(self, cycles: int) -> None:
        """Offer no instruction before that many cycles."""
        items, self.source.items = list(self.source.items), deque()

        async def release(ctx):
            await ctx.tick().repeat(cycles)
            self.source.items.extend(items)

        self.sim.add_testbench(release)

    def run(self, instructions: int, bench=None) -> None:
        """Until ``instructions`` have finished."""

        async def control(ctx):
            ctx.set(self.dut.result_bytes, self.result_bytes)
            for name, value in (("model", MODEL), ("image", IMAGE), ("result", RESULT)):
                ctx.set(getattr(self.dut, name), value)
            await wait_until(ctx, lambda: len(self.finished.entries) == instructions)
            await ctx.tick().repeat(3)
            assert ctx.get(self.dut.idle) == 1
            assert ctx.get(self.dut.busy) == 0

        self.sim.add_testbench(bench or control)
        self.sim.run()


def _table(offset: int, table: int, words: int) -> int:
    return encode(Opcode.LOAD_TABLE, offset=offset, table=table, words=words)


def _entries(offset: int, words: int) -> list[int]:
    return [ddr_beat(MODEL + offset + 16 * (i // 4)) >> 32 * (i % 4) & 0xFFFFFFFF for i in range(words)]


@pytest.mark.parametrize(("lanes", "stall"), [(8, 0.3), (16, 0.0), (32, 0.3)])
def test_every_instruction(lanes: int, stall: float) -> None:
    """Tables, positions, patches and results, interleaved, in program order."""
    position = {"rows": 5, "row_words": 3, "dst_base": 7}
    word_beats = lanes // 8
    patch = {"patch": 8, "patch_rows": 2, "patch_columns": 4, "channels": 2, "width": 32, "plane_bytes": 1024}
    row_words = -(-2 * 64 // lanes)
    program = [
        _table(0x100, 3, 12),
        encode(Opcode.LOAD_POSITION, offset=0x400, **position),
        encode(Opcode.STORE, beats=11 * word_beats),
        _table(0x200, 5, 0),
        encode(Opcode.LOAD_PATCHES, **patch, dst_base=1, dst_stride=row_words),
        encode(Opcode.STORE, beats=0),
        _table(0x300, 0, 64),
    ]
    machine = Machine(program, stall, results=14, lanes=lanes, burst_beats=4, outstanding=2)
    machine.run(len(program))
    assert [pc for _, pc in machine.started.entries] == list(range(100, 100 + len(program)))
    assert [pc for _, pc in machine.finished.entries] == list(range(100, 100 + len(program)))
    _check_order(machine, [pc for pc, word in enumerate(program, 100) if word & 0xFF == Opcode.LOAD_POSITION])
    assert not machine.faults.entries
    want = [(3, i, e) for i, e in enumerate(_entries(0x100, 12))] + [
        (0, i, e) for i, e in enumerate(_entries(0x300, 64))
    ]
    assert [entry[1:] for entry in machine.table.entries] == want
    beats = [ddr_beat(MODEL + 0x400 + 16 * i) for i in range(15 * word_beats)]
    words = [sum(beats[i * word_beats + b] << 128 * b for b in range(word_beats)) for i in range(15)]
    assert [entry[1:] for entry in machine.residual.entries] == [(7 + i, word) for i, word in enumerate(words)]
    _check_progress(machine, rows=5, bands=2)
    _check_patches(machine, lanes, row_words)
    stored = b"".join(word.to_bytes(2 * lanes, "little") for word in machine.result_words[:11])
    got = b"".join(machine.writes.data[RESULT + 16 * i][0].to_bytes(16, "little") for i in range(11 * word_beats))
    assert got == stored
    assert len(machine.writes.data) == 11 * word_beats


def _check_order(machine: Machine, positions: list[int]) -> None:
    """An instruction starts behind the end of the one before; what it writes and counts lies between start and end."""
    starts, ends = ([cycle for cycle, _ in log.entries] for log in (machine.started, machine.finished))
    assert all(end < start for end, start in zip(ends, starts[1:], strict=False))
    owners = {
        cycle: pc
        for pc, (start, end) in enumerate(zip(starts, ends, strict=True), 100)
        for cycle in range(start, end + 1)
    }
    assert {owners[entry[0]] for entry in machine.residual.entries} == set(positions)
    assert all(entry[0] in owners for log in machine.logs for entry in log.entries)


def _check_progress(machine: Machine, rows: int, bands: int) -> None:
    """One pulse per row with the write of its last word, one per band."""
    assert [entry[1:] for entry in machine.progress.entries] == [(Counter.RESIDUAL, 1)] * rows + [
        (Counter.PATCH, 4)
    ] * bands
    ends = [entry[0] for entry in machine.residual.entries][2::3]
    assert [entry[0] for entry in machine.progress.entries[:rows]] == ends


def _check_patches(machine: Machine, lanes: int, row_words: int) -> None:
    pixels = b"".join(ddr_beat(IMAGE + 16 * i).to_bytes(16, "little") for i in range(2 * 1024 // 16))
    planes = np.frombuffer(pixels, dtype=np.uint8).reshape(2, 32, 32)[:, :16]
    want = patch_rows(planes.transpose(1, 2, 0), 8).astype(np.int8).reshape(8 * row_words, lanes)
    got = np.zeros_like(want)
    for _, enable, address, data in machine.activation.entries:
        word = np.frombuffer(data.to_bytes(lanes, "little"), dtype=np.int8)
        for lane in range(lanes // 8):
            if enable >> lane & 1:
                got[address - 1, 8 * lane : 8 * lane + 8] = word[8 * lane : 8 * lane + 8]
    np.testing.assert_array_equal(got, want)


def test_store_never_issues_a_burst_before_its_data() -> None:
    """Results come slowly: every address is followed by its data at once."""
    machine = Machine([encode(Opcode.STORE, beats=40)], results=20, lanes=16, burst_beats=8)
    machine.results.stalls.busy = 0.95
    gaps = []
    asked = PulseLog(machine.dut.write_bus.awvalid)
    sent = PulseLog(machine.dut.write_bus.wvalid)
    machine.sim.add_process(asked.process)
    machine.sim.add_process(sent.process)
    machine.run(1)
    assert len(machine.writes.bursts) == 6, "five of eight beats, one of them cut by a page"
    for (cycle,) in asked.entries:
        gaps.append(min(c for (c,) in sent.entries if c > cycle) - cycle)
    assert max(gaps) == 1
    assert len(sent.entries) == 40


@pytest.mark.parametrize(
    ("word", "code"),
    [
        (_table(0, 1, 1028), ErrorCode.OUT_OF_BOUNDS),
        (encode(Opcode.LOAD_POSITION, rows=33, row_words=2, dst_base=63), ErrorCode.OUT_OF_BOUNDS),
        (encode(Opcode.LOAD_POSITION, rows=4095, row_words=1023, dst_base=65535), ErrorCode.OUT_OF_BOUNDS),
        (
            encode(
                Opcode.LOAD_PATCHES,
                patch=8,
                patch_rows=1,
                patch_columns=2,
                channels=1,
                width=16,
                dst_base=255,
                dst_stride=4,
            ),
            ErrorCode.OUT_OF_BOUNDS,
        ),
        (_table(0x8000, 1, 4), ErrorCode.AXI_READ),
        (encode(Opcode.STORE, beats=2), ErrorCode.AXI_WRITE),
    ],
)
def test_faults(word: int, code: ErrorCode) -> None:
    """Code and index of the instruction; nothing is written past a buffer; the engine goes on."""
    machine = Machine([_table(0, 2, 4), word, _table(0, 2, 4)], results=1)
    machine.reads.bad = lambda address: address == MODEL + 0x8000
    machine.writes.bad = lambda address: address == RESULT
    machine.run(3)
    assert [entry[1:] for entry in machine.faults.entries] == [(code, 101)]
    assert all(entry[1] < machine.arch.residual_words for entry in machine.residual.entries)
    assert all(entry[2] < machine.arch.activation_words for entry in machine.activation.entries)


@pytest.mark.parametrize(("rows", "row_words"), [(0, 3), (3, 0), (0, 0)])
def test_no_position(rows: int, row_words: int) -> None:
    """No row, or rows of no word: nothing is read, written or counted, and the next instruction runs."""
    empty = encode(Opcode.LOAD_POSITION, offset=0x400, rows=rows, row_words=row_words, dst_base=7)
    machine = Machine([empty, _table(0x100, 3, 4), empty])
    machine.run(3)
    assert [burst.address for burst in machine.reads.bursts] == [MODEL + 0x100]
    assert not machine.residual.entries
    assert not machine.progress.entries
    assert not machine.faults.entries
    assert len(machine.table.entries) == 4


@pytest.mark.parametrize("result_beats", [16, 32, 48])
def test_a_full_result_fifo(result_beats: int) -> None:
    """More results wait than the FIFO holds, a power of two or not, before the first STORE: all are written."""
    words = 30
    store = encode(Opcode.STORE, beats=2 * words)
    machine = Machine([store], results=words, result_beats=result_beats, burst_beats=4)
    machine.hold(200)
    machine.run(1)
    assert result_beats // 2 < words
    stored = b"".join(word.to_bytes(32, "little") for word in machine.result_words)
    got = b"".join(machine.writes.data[RESULT + 16 * i][0].to_bytes(16, "little") for i in range(2 * words))
    assert got == stored


@pytest.mark.parametrize(("bound", "beats", "good"), [(0, 8, 1), (128, 8, 1), (143, 8, 1), (127, 8, 0), (1, 2, 0)])
def test_bound_of_a_store(bound: int, beats: int, good: int) -> None:
    """A STORE of more than RESULT_BYTES is refused before its first burst; each STORE by itself; 0 bounds nothing."""
    machine = Machine([_table(0, 2, 4), *[encode(Opcode.STORE, beats=beats)] * 2, _table(0, 2, 4)], results=beats)
    machine.result_bytes = bound
    machine.run(4)
    refused = [] if good else [(ErrorCode.RESULT_BOUND, 101), (ErrorCode.RESULT_BOUND, 102)]
    assert [entry[1:] for entry in machine.faults.entries] == refused
    assert sum(burst.beats for burst in machine.writes.bursts) == good * 2 * beats


def test_position_fills_the_buffer_exactly() -> None:
    """The last word of the buffer may be written."""
    machine = Machine([encode(Opcode.LOAD_POSITION, rows=4, row_words=16, dst_base=64)])
    assert machine.arch.residual_words == 128
    machine.run(1)
    assert not machine.faults.entries
    assert [entry[1] for entry in machine.residual.entries] == list(range(64, 128))


@pytest.mark.parametrize("halt_at", [25, 33, 50, 70])
@pytest.mark.parametrize("opcode", [Opcode.LOAD_POSITION, Opcode.LOAD_PATCHES, Opcode.STORE])
def test_halt(opcode: Opcode, halt_at: int) -> None:
    """Engines stop with all bursts complete, whatever runs."""
    words = {
        Opcode.LOAD_POSITION: encode(Opcode.LOAD_POSITION, rows=16, row_words=8),
        Opcode.LOAD_PATCHES: encode(
            Opcode.LOAD_PATCHES, patch=16, patch_rows=4, patch_columns=2, channels=3, width=32, dst_stride=1
        ),
        Opcode.STORE: encode(Opcode.STORE, beats=400),
    }
    machine = Machine([words[opcode]], 0.3, results=300, burst_beats=8)

    async def bench(ctx):
        dut = machine.dut
        await ctx.tick().repeat(halt_at)
        ctx.set(dut.halt, 1)
        await wait_until(ctx, lambda: not ctx.get(dut.busy), 300)
        reads, writes = len(machine.reads.bursts), len(machine.writes.bursts)
        assert reads + writes > 0
        assert machine.reads.beats_served == sum(burst.beats for burst in machine.reads.bursts)
        assert len(machine.writes.beats) == sum(burst.beats for burst in machine.writes.bursts)
        assert machine.writes.responses == writes
        await ctx.tick().repeat(30)
        assert (len(machine.reads.bursts), len(machine.writes.bursts)) == (reads, writes)

    machine.run(0, bench)


def test_timing() -> None:
    """One table entry a cycle; cycles between instructions."""
    machine = Machine([_table(0, 1, 64), _table(0, 1, 0), _table(0, 1, 0)])
    machine.run(3)
    cycles = [entry[0] for entry in machine.table.entries]
    assert cycles[-1] - cycles[0] == 64 // TableLoader.entries_per_cycle - 1
    starts = [cycle for cycle, _ in machine.started.entries]
    assert starts[2] - starts[1] == machine.dut.overhead + 1, "an empty table keeps its unit busy for one cycle"


def _waiting(waits: list[tuple[Opcode, Counter, int]], counts: Callable[[int], dict[Counter, int]]) -> list[int]:
    """Starts of instructions that do nothing but wait; all their other fields are zero."""
    program = [encode(opcode, wait_b=int(counter), wait_b_base=base) for opcode, counter, base in waits]
    machine = Machine(program)
    machine.count(counts)
    machine.run(len(program))
    assert [pc for _, pc in machine.started.entries] == list(range(100, 100 + len(program)))
    assert len(machine.reads.bursts) == len(machine.writes.bursts) == 0
    return [cycle for cycle, _ in machine.started.entries]


KINDS = (Opcode.LOAD_TABLE, Opcode.LOAD_POSITION, Opcode.LOAD_PATCHES, Opcode.STORE)


@pytest.mark.parametrize("opcode", KINDS)
def test_a_wait_that_is_over_costs_a_cycle(opcode: Opcode) -> None:
    """Counter 0 costs nothing, whatever the base; each opcode has its wait elsewhere."""
    none = (opcode, Counter.NONE, 1)
    free = _waiting([none] * 5, lambda cycle: {})
    step = free[1] - free[0]
    assert free == [free[0] + i * step for i in range(5)]
    some = [none, (opcode, Counter.PATCH, 3), none, (opcode, Counter.PATCH, 2), (opcode, Counter.GATE, 0)]
    found = _waiting(some, lambda cycle: {Counter.PATCH: 3})
    assert IoEngine.wait_cycles == 1
    assert [wait - no for wait, no in zip(found, free, strict=True)] == [0, 1, 1, 2, 3]


@pytest.mark.parametrize("at", [5, 6, 30])
@pytest.mark.parametrize("base", [0, 7, 0xA5A5, 65535])
@pytest.mark.parametrize("opcode", KINDS)
def test_an_instruction_starts_when_its_count_is_reached(opcode: Opcode, base: int, at: int) -> None:
    """The cycle after the one in which the counter is there; before, 2^16 counts are all but one behind."""
    found = _waiting(
        [(opcode, Counter.RESIDUAL, base)], lambda cycle: {Counter.RESIDUAL: (base - (cycle < at)) & 0xFFFF}
    )
    assert found == [at + 1]


def test_counts_are_compared_modulo_two_to_the_sixteen() -> None:
    """A base up to 2^15 ahead is not reached yet, one behind is."""

    def counts(cycle: int) -> dict[Counter, int]:
        return {Counter.RESIDUAL: 65000 - 65536 + 32767, Counter.KEY: (30000 - 32768) & 0xFFFF if cycle < 90 else 30001}

    found = _waiting([(Opcode.STORE, Counter.RESIDUAL, 65000), (Opcode.STORE, Counter.KEY, 30000)], counts)
    assert found[0] < 10
    assert found[1] == 91


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
def test_a_wait_is_that_of_its_own_instruction(first: Opcode, second: Opcode) -> None:
    """The next instruction waits for itself, behind one whose wait is over and behind one that has none."""
    waits = [(first, Counter.QUERY, 1), (second, Counter.KEY, 1), (first, Counter.NONE, 0), (second, Counter.VALUE, 1)]

    def counts(cycle: int) -> dict[Counter, int]:
        return {Counter.QUERY: 1, Counter.KEY: int(cycle >= 50), Counter.VALUE: int(cycle >= 100)}

    found = _waiting(waits, counts)
    assert found[0] < 10
    assert (found[1], found[3]) == (51, 101)


def test_a_loader_that_waits_does_nothing() -> None:
    """Nothing is asked of memory before the count is there; then everything is as without a wait."""
    wait = {"wait_b": int(Counter.CONTEXT), "wait_b_base": 9}
    machine = Machine([encode(Opcode.LOAD_POSITION, offset=0x400, rows=2, row_words=1, dst_base=7, **wait)])
    asked = PulseLog(machine.dut.read_bus.arvalid)
    machine.sim.add_process(asked.process)
    machine.count(lambda cycle: {Counter.CONTEXT: 9 * (cycle >= 60)})
    machine.run(1)
    assert asked.entries[0][0] > 60
    assert machine.started.entries == [(61, 100)]
    assert [entry[1] for entry in machine.residual.entries] == [7, 8]
