"""LayerNorm unit: runs LAYERNORM instructions, residual rows in, int8 rows out, every word read once."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.layernorm.layernorm_rows import (
    CHANNEL_BITS,
    LayerNormNormaliser,
    LayerNormStatistics,
    max_words,
    plain_constants,
)
from hwgen.rtl.lib.decode import fields, reached
from hwgen.rtl.lib.interfaces import (
    COUNTER_BITS,
    PC_BITS,
    PROGRESS_COUNTERS,
    ROW_BITS,
    buffer_read,
    buffer_write,
    fault,
    issued,
    progress_pulse,
    table_bus,
)
from hwgen.rtl.lib.loop_counter import LoopCounter
from hwgen.rtl.lib.pipeline import delay, delay_valid
from hwgen.rtl.lib.trace import channel_signature
from hwgen.rtl.lib.word_queue import WordQueue
from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import NORM, NORM_RING, RESIDUAL
from hwgen.spec.choices import READ_LATENCY
from hwgen.spec.isa import Counter, ErrorCode, Opcode

_WALK_BITS = 23  # base + rows * stride never wraps
_PARAM_BITS = NORM_RING.element_bits
_BUFFER_LATENCY = WordQueue.latency + 1  # row buffer and its output register


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()


class _Walker:
    """Address, row and word of a rows x words loop; ``step`` moves to the next word, ``start`` to the first."""

    def __init__(self, m: Module, f: dict[str, Value], side: str) -> None:
        self.address = Signal(_WALK_BITS, name=f"{side}_address")
        self._words = LoopCounter(m, f["words"], f"{side}_word")
        self.word, self.last_word = self._words.turn, self._words.at_last
        self.row = Signal(ROW_BITS, name=f"{side}_row")
        self._next = Signal(_WALK_BITS, name=f"{side}_next_row")
        self._m, self._base, self._stride = m, f[f"{side}_base"], f[f"{side}_stride"]

    def start(self) -> None:
        """Go to word 0 of row 0."""
        self._m.d.sync += [
            self.address.eq(self._base),
            self._next.eq(self._base + self._stride),
            self.row.eq(0),
        ]
        self._words.restart()

    def step(self) -> None:
        """Go to the next word."""
        m = self._m
        self._words.step()
        with m.If(self.last_word):
            m.d.sync += [
                self.address.eq(self._next),
                self._next.eq(self._next + self._stride),
                self.row.eq(self.row + 1),
            ]
        with m.Else():
            m.d.sync += self.address.eq(self.address + 1)


class _Strobes:
    """What the control block tells the data path."""

    def __init__(self) -> None:
        self.running = Signal()  # an instruction is being executed
        self.fetch = Signal()  # a word is read from the residual buffer
        self.send = Signal()  # a word leaves the row buffer for the normaliser
        self.send_last = Signal()  # ... and it is the last of its row
        self.store = Signal()  # a word is written to the norm buffer


class LayerNorm(wiring.Component):
    """Executes LAYERNORM; ``golden.layernorm.layernorm`` of every row, or ``golden.layernorm.affine`` of plain ones.

    Plain rows go the same way, in the same cycles; their statistics count for nothing. Each word of a row is read once:
    it enters the statistics and a local buffer of ``buffer_words`` words, from which the row is normalised when its
    statistics are complete, while the next rows are read.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    i: In stream of ``issued()``, LAYERNORM only; an instruction is taken in the cycle of ``finished``.
    counters: In, progress counters. progress: Out(progress_pulse), NORM, one per row, in the cycle after its last word.
    residual: Out(read_port(16 * Po)). write: Out(write_port(8 * Po)), norm buffer.
    residual_taken: In(1), only where the residual has one copy: its port has another address in this cycle.
    params: Out(read_port(64 * Po)), norm-parameter ring; arrived: In(16), words that came; release: Out(16), words to
    free, in the cycle of ``finished``.
    table: In(table_bus).
    trace: Out, trace channel ``norm``, in the cycle of the write.
    started, finished: Out(1) pulses; pc: Out(16), valid with both. idle: Out(1), no instruction present.
    fault: Out(fault), OUT_OF_BOUNDS: a word outside residual or norm buffer (it is not written), or a row of no words
    or of more than the unit or the parameter ring holds (the unit then stays as it is until reset).

    Timing: ``started`` comes with the instruction when its ``wait_b`` is counter 0; else the cycle after ``counters``
    have reached the base, ``wait_cycles`` = 1 later than the instruction when they had reached it before. When nothing
    makes it wait, ``cycles(rows, words)`` cycles from ``started`` to ``finished``: ``latency(words)`` for the first row
    and ``interval(words)`` for every other; a cycle more for each one with ``residual_taken`` while words are fetched.
    """

    wait_cycles = 1

    def __init__(self, arch: ArchConfig) -> None:
        if arch.norm_entries < 1:
            raise ValueError(f"LayerNorm needs norm_entries of at least 1, got {arch.norm_entries}")
        self._arch = arch
        self._words = min(max_words(arch), arch.norm_entries)
        self._wait = READ_LATENCY + 1 + LayerNormStatistics.latency_of(arch) + 1  # last word read to first word sent
        self.send_latency = _BUFFER_LATENCY + LayerNormNormaliser.latency  # word sent to word written
        self._rows = _power_of_two(self._wait + 2)
        self.buffer_words = _power_of_two(max_words(arch) + self._wait + 2)
        self._shares = RESIDUAL.copies(arch) < RESIDUAL.readers
        super().__init__(
            {
                "i": In(stream.Signature(issued())),
                "counters": In(data.ArrayLayout(COUNTER_BITS, PROGRESS_COUNTERS)),
                "progress": Out(progress_pulse()),
                "residual": Out(buffer_read(RESIDUAL, arch)),
                **({"residual_taken": In(1)} if self._shares else {}),
                "params": Out(buffer_read(NORM_RING, arch)),
                "arrived": In(16),
                "release": Out(16),
                "write": Out(buffer_write(NORM, arch)),
                "table": In(table_bus()),
                "trace": Out(channel_signature("norm", arch)),
                "started": Out(1),
                "finished": Out(1),
                "pc": Out(PC_BITS),
                "idle": Out(1),
                "fault": Out(fault()),
            }
        )

    def interval(self, words: int) -> int:
        """Cycles from row to row."""
        return words

    def latency(self, words: int) -> int:
        """Cycles from ``started`` to the progress pulse of the first row."""
        return words + self._wait + words - 1 + self.send_latency + 1

    def cycles(self, rows: int, words: int) -> int:
        """Cycles from ``started`` to ``finished``, the progress pulse of the last row."""
        return self.latency(words) + (rows - 1) * self.interval(words)

    def elaborate(self, platform: object) -> Module:
        """Fetch, statistics, row buffer, normalisation, write-back; one control block."""
        m = Module()
        f = fields(Opcode.LAYERNORM, self.i.payload.word)
        source, target = _Walker(m, f, "src"), _Walker(m, f, "dst")
        strobes = _Strobes()
        self._control(m, f, strobes, source, target)
        self._fetch(m, f, strobes, source)
        complete = self._normalise(m, f, strobes, self._statistics(m, f, strobes, source))
        self._send(m, f, strobes, complete)
        self._params(m, f, strobes)
        self._store(m, strobes, target)
        self._faults(m, f, strobes, source, target)
        return m

    def _control(self, m: Module, f: dict[str, Value], strobes: _Strobes, source: _Walker, target: _Walker) -> None:
        """One instruction at a time, taken when its last row is counted."""
        passed = Signal(name="wait_passed")  # wait_b of the instruction that is here and waited a cycle ago
        count_reached = reached(self.counters, f["wait_b"], f["wait_b_base"], 0)
        m.d.sync += passed.eq(count_reached & self.i.valid & ~strobes.running)
        m.d.comb += [
            self.started.eq(self.i.valid & ~strobes.running & (passed | (f["wait_b"] == 0))),
            self.idle.eq(~self.i.valid),
            self.pc.eq(self.i.payload.pc),
            self.finished.eq(strobes.running & (target.row == f["rows"])),
            self.i.ready.eq(self.finished),
        ]
        with m.If(self.started):
            m.d.sync += strobes.running.eq(1)
            source.start()
            target.start()
        with m.If(self.finished):
            m.d.sync += strobes.running.eq(0)

    def _fetch(self, m: Module, f: dict[str, Value], strobes: _Strobes, source: _Walker) -> None:
        """Read the next word when its row is ready and there is room for it."""
        ahead = Signal(COUNTER_BITS)  # rows that the awaited counter is past the base
        missing, row_ready = Signal(COUNTER_BITS), Signal()
        free_words = Signal(range(self.buffer_words + 1), init=self.buffer_words)
        free_rows = Signal(range(self._rows + 1), init=self._rows)
        more_rows, room = source.row != f["rows"], (free_words != 0) & (free_rows != 0)
        granted = ~self.residual_taken if self._shares else 1
        m.d.sync += [
            ahead.eq(Value.cast(self.counters[f["wait_a"]]) - f["wait_a_base"]),
            free_words.eq(free_words - strobes.fetch + strobes.send),
            free_rows.eq(free_rows - (strobes.fetch & source.last_word) + (strobes.send & strobes.send_last)),
        ]
        m.d.comb += [
            missing.eq(ahead - source.row - 1),
            row_ready.eq(~missing[-1] | (f["wait_a"] == 0)),
            strobes.fetch.eq(strobes.running & more_rows & row_ready & room & granted),
            self.residual.address.eq(source.address),
        ]
        with m.If(strobes.fetch):
            source.step()

    def _statistics(self, m: Module, f: dict[str, Value], strobes: _Strobes, source: _Walker) -> LayerNormStatistics:
        """The fetched words, registered once."""
        m.submodules.statistics = statistics = LayerNormStatistics(self._arch)
        wiring.connect(m, wiring.flipped(self.table), statistics.table)
        steps = READ_LATENCY + 1
        m.d.comb += [
            statistics.valid.eq(delay_valid(m, strobes.fetch, steps)),
            statistics.first.eq(delay(m, source.word == 0, steps, "first")),
            statistics.last.eq(delay(m, source.last_word, steps, "last")),
            Value.cast(statistics.x).eq(delay(m, self.residual.data, 1, "x")),
            statistics.channels.eq(f["channels"]),
        ]
        return statistics

    def _normalise(self, m: Module, f: dict[str, Value], strobes: _Strobes, statistics: LayerNormStatistics) -> Value:
        """Queues of words and of row constants, and the normaliser behind them; how many rows may be sent."""
        x, constants = Value.cast(statistics.x), Value.cast(statistics.constants)
        m.submodules.row_words = words = WordQueue(len(x), self.buffer_words)
        m.submodules.row_constants = rows = WordQueue(len(constants), self._rows)
        m.submodules.normaliser = normaliser = LayerNormNormaliser(self._arch)
        plain, channels = Signal(reset_less=True), Signal(CHANNEL_BITS, reset_less=True)  # long before a word is sent
        m.d.sync += [plain.eq(f["plain"]), channels.eq(Mux(f["plain"], 1, f["channels"]))]
        chosen = Mux(plain, plain_constants(self._arch).as_value(), rows.oldest)
        m.d.comb += [
            words.put.eq(statistics.valid),
            words.word.eq(x),
            words.take.eq(strobes.send),
            rows.put.eq(statistics.o_valid),
            rows.word.eq(constants),
            rows.take.eq(strobes.send & strobes.send_last),
            Value.cast(normaliser.x).eq(delay(m, words.oldest, 1, "buffered")),
            Value.cast(normaliser.constants).eq(delay(m, chosen, 1, "constants")),
            normaliser.channels.eq(channels),
            normaliser.shift.eq(f["shift"]),
            Value.cast(normaliser.params).eq(self.params.data),
            self.write.data.eq(Value.cast(normaliser.h)),
        ]
        return rows.level

    def _send(self, m: Module, f: dict[str, Value], strobes: _Strobes, complete: Value) -> None:
        """One word a cycle to the normaliser while complete rows and all parameters are there."""
        word, used = LoopCounter(m, f["words"], "send_word"), Signal(16, name="params_used")
        missing, present = Signal(16), Signal(name="params_present")
        m.d.comb += missing.eq(self.arrived - used - f["words"])
        m.d.sync += present.eq(strobes.running & ~missing[-1])
        m.d.comb += [
            strobes.send.eq(strobes.running & (complete != 0) & present),
            strobes.send_last.eq(word.at_last),
            strobes.store.eq(delay_valid(m, strobes.send, self.send_latency)),
            self.release.eq(Mux(self.finished, f["words"], 0)),
        ]
        with m.If(self.started):
            word.restart()
        with m.Elif(strobes.send):
            word.step()
        with m.If(self.finished):
            m.d.sync += used.eq(used + f["words"])

    def _params(self, m: Module, f: dict[str, Value], strobes: _Strobes) -> None:
        """Addresses in the parameter ring, so that a word's parameters meet it in the normaliser."""
        depth = self._arch.norm_entries
        start, address = Signal(range(depth)), Signal(range(depth))
        steps = _BUFFER_LATENCY + LayerNormNormaliser.param_delay - READ_LATENCY
        step = delay_valid(m, strobes.send, steps)
        last = delay(m, strobes.send_last, steps, "param_last")
        end = Signal(range(2 * depth))
        m.d.comb += [self.params.address.eq(address), end.eq(start + f["words"])]
        with m.If(self.started | (step & last)):
            m.d.sync += address.eq(start)
        with m.Elif(step):
            m.d.sync += address.eq(Mux(address == depth - 1, 0, address + 1))
        with m.If(self.finished):
            m.d.sync += start.eq(Mux(end >= depth, end - depth, end))

    def _store(self, m: Module, strobes: _Strobes, target: _Walker) -> None:
        """Write the word, trace it and count a complete row."""
        with m.If(strobes.store):
            target.step()
        in_range = target.address < self._arch.norm_words
        m.d.sync += self.progress.valid.eq(strobes.store & target.last_word)
        m.d.comb += [
            self.write.enable.eq(strobes.store & in_range),
            self.write.address.eq(target.address),
            self.progress.counter.eq(int(Counter.NORM)),
            self.progress.count.eq(1),
            self.trace.valid.eq(self.write.enable),
            self.trace.pc.eq(self.pc),
            self.trace.row.eq(target.row),
            self.trace.word.eq(target.word),
            self.trace.data.eq(self.write.data),
        ]

    def _faults(self, m: Module, f: dict[str, Value], strobes: _Strobes, source: _Walker, target: _Walker) -> None:
        """Words that do not exist."""
        length_bad = (f["words"] == 0) | (f["words"] > self._words)
        source_bad = source.address >= self._arch.residual_words
        target_bad = target.address >= self._arch.norm_words
        m.d.sync += [
            self.fault.valid.eq(
                (self.started & length_bad) | (strobes.fetch & source_bad) | (strobes.store & target_bad)
            ),
            self.fault.pc.eq(self.pc),
        ]
        m.d.comb += self.fault.code.eq(int(ErrorCode.OUT_OF_BOUNDS))
