"""Observer of attention: turns the scores of observed rows into importances, one a cycle, behind the softmax."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.interfaces import (
    EXPONENTIAL_BITS,
    OBSERVE_FIRST,
    ROW_BITS,
    SCORE_BITS,
    SCORE_FRACTION_BITS,
    importance_read,
    read_port,
    row_reciprocal,
    score_row,
    table_bus,
)
from hwgen.rtl.lib.interpolation import DirectTable, table_info
from hwgen.rtl.lib.pipeline import delay, delay_valid
from hwgen.rtl.select.importance_memory import ImportanceMemory
from hwgen.spec.arch import ArchConfig
from hwgen.spec.choices import READ_LATENCY, importance_lanes
from hwgen.spec.numerics import IMPORTANCE_BITS

STORED_BITS = 32  # of an importance as it leaves the machine
_ROWS = 2  # that may be under way: those of two heads (or blocks of queries) whose scores are held
_SHIFT_POINT = 25  # golden.select.IMPORTANCE_SHIFT
_FINE_BITS = 3  # of the shift, in its second register
_PRODUCT_BITS = 28


class AttentionObserver(wiring.Component):
    """Adds up what the observed row of each head gives its keys; ``golden.select.importance``.

    The words of an observed row are copied as they come. When the softmax has the reciprocal of its sum, the row is
    walked, a key a cycle: exponential, product, shift, and the sum over the heads. The row is then reported to the
    softmax, which counts it; so a program that lets CONTEXT read the scores of a head before another head's scores
    take their place, as every program must, never has more than two rows here, however short they are.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    i: In(score_row(arch)), the stream of the softmax; words of rows with ``observe``, in any order of tiles.
    table: In(table_bus). row: In(row_reciprocal), of each of these rows, in their order.
    observed: Out(1), a row is done, in the cycle of its last write. idle: Out(1), none was under way
    a cycle ago.
    importance: In(importance_read(arch)), for SELECT.
    store: In(read_port(32 * lanes)), words of ``importance_lanes`` importances of 32 bits: as wide as a word of
    results. store_taken: Out(1), SELECT reads words in this cycle: what ``store`` asks for will not come.

    Timing: ``latency(keys)`` cycles from ``row.valid`` to ``observed`` when no other row is worked on, else one more
    from the ``observed`` of that one. Importances may be asked for in the cycle after ``observed``.
    """

    steps = 8  # position to write: word and lane, exponential, product, two shifts, sum
    _read_step = 4  # the importance of the heads before is asked for

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        self._lane_bits = (arch.output_lanes - 1).bit_length()
        self._tile_bits = (arch.words(arch.max_tokens) - 1).bit_length()
        super().__init__(
            {
                "i": In(score_row(arch)),
                "table": In(table_bus()),
                "row": In(row_reciprocal()),
                "observed": Out(1),
                "idle": Out(1),
                "importance": In(importance_read(arch)),
                "store": In(read_port(STORED_BITS * importance_lanes(arch))),
                "store_taken": Out(1),
            }
        )

    def latency(self, keys: int) -> int:
        """Cycles from the reciprocal of a row to ``observed``."""
        return keys + self.steps - 1

    def elaborate(self, platform: object) -> Module:
        """Copy, walk, importance, memory."""
        m = Module()
        m.submodules.memory = memory = ImportanceMemory(self._arch)
        self._slot = Signal()  # of the row that is worked on
        self._walking, self._position, self._quiet = Signal(), Signal(ROW_BITS), Signal(name="quiet")
        self._copy(m)
        self._walk(m)
        self._add(m, memory, self._part(m, self._score(m)))
        self._ports(m, memory)
        return m

    def _copy(self, m: Module) -> None:
        """Words of observed rows, two rows in turn, with what is known of each."""
        depth = _ROWS << self._tile_bits
        m.submodules.copy = copy = Memory(
            shape=unsigned(SCORE_BITS * self._arch.output_lanes), depth=depth, init=[]
        )  # fmt: skip
        write, slot, taken = copy.write_port(), Signal(name="copy_slot"), Signal()
        self._read_copy = copy.read_port(domain="comb")
        m.d.comb += [
            taken.eq(self.i.valid & (self.i.observe != 0)),
            write.en.eq(taken),
            write.addr.eq(Cat(self.i.key_tile[: self._tile_bits], slot)),
            write.data.eq(Value.cast(self.i.scores)),
        ]
        self._keys = Array(Signal(ROW_BITS, name=f"keys_{row}", reset_less=True) for row in range(_ROWS))
        self._first = Array(Signal(name=f"first_{row}", reset_less=True) for row in range(_ROWS))
        with m.If(taken):
            m.d.sync += [self._keys[slot].eq(self.i.keys), self._first[slot].eq(self.i.observe == OBSERVE_FIRST)]
        with m.If(taken & self.i.last_key):
            m.d.sync += slot.eq(~slot)
        under_way = Signal(range(_ROWS + 2))
        m.d.sync += under_way.eq(under_way + (taken & self.i.first_key) - self.observed)
        m.d.comb += self._quiet.eq((under_way == 0) & ~taken)
        m.d.sync += self.idle.eq(self._quiet)  # a cycle late: who asks has waited for the count of what was observed

    def _walk(self, m: Module) -> None:
        """Positions of a row whose reciprocal is there, one a cycle; then wait until the last one is written."""
        ready, arrived = Signal(range(_ROWS + 2)), Signal(name="arrived_slot")
        values = Array(Signal(16, name=f"value_{row}", reset_less=True) for row in range(_ROWS))
        exponents = Array(Signal(6, name=f"exponent_{row}", reset_less=True) for row in range(_ROWS))
        busy, last = Signal(), Signal()
        with m.If(self.row.valid):
            m.d.sync += [
                values[arrived].eq(self.row.value),
                exponents[arrived].eq(self.row.exponent),
                arrived.eq(~arrived),
            ]
        m.d.sync += ready.eq(ready + self.row.valid - self.observed)
        m.d.comb += [
            last.eq(self._position == self._keys[self._slot] - 1),
            self.observed.eq(delay_valid(m, self._walking & last, self.steps - 1)),
        ]
        with m.If(self._walking):
            m.d.sync += [self._position.eq(self._position + 1), self._walking.eq(~last)]
        with m.Elif(~busy & (self.row.valid | (ready != 0))):
            m.d.sync += [self._position.eq(0), self._walking.eq(1), busy.eq(1)]
        with m.If(self.observed):
            m.d.sync += [busy.eq(0), self._slot.eq(~self._slot)]
        self._value, self._exponent = values[self._slot], exponents[self._slot]

    def _score(self, m: Module) -> Value:
        """The score at the position, two steps later."""
        tile = Signal(range(max(2, 1 << self._tile_bits)), name="tile", reset_less=True)
        lane = Signal(range(self._arch.output_lanes), name="lane_of_score", reset_less=True)
        score = Signal(signed(SCORE_BITS), reset_less=True)
        word = data.View(data.ArrayLayout(SCORE_BITS, self._arch.output_lanes), self._read_copy.data)
        m.d.sync += [
            tile.eq(self._position >> self._lane_bits),
            lane.eq(self._position[: self._lane_bits]),
            score.eq(word[lane]),
        ]
        m.d.comb += self._read_copy.addr.eq(Cat(tile[: self._tile_bits], self._slot))
        return score

    def _part(self, m: Module, score: Value) -> Value:
        """What this head gives the key, doubled and not rounded: exponential, product, coarse and fine shift."""
        m.submodules.exp2 = exp2 = DirectTable(table_info("exp2"), EXPONENTIAL_BITS, 1, 0)
        wiring.connect(m, wiring.flipped(self.table), exp2.table)
        exponential = Signal(EXPONENTIAL_BITS, reset_less=True)
        wide, shift = Signal(7), Signal(5, reset_less=True)
        product = Signal(_PRODUCT_BITS, reset_less=True)
        coarse = Signal(_PRODUCT_BITS + 1, reset_less=True)
        halves = Signal(_PRODUCT_BITS - 2, reset_less=True)
        m.d.comb += [
            exp2.index[0].eq(score.as_unsigned()[:SCORE_FRACTION_BITS]),
            wide.eq(self._exponent - (score >> SCORE_FRACTION_BITS) - _SHIFT_POINT),
        ]
        later = delay(m, shift, 1, "shift_kept")
        m.d.sync += [
            exponential.eq(exp2.value[0]),
            shift.eq(Mux(wide[5], 31, wide)),  # 29 and up give zero
            product.eq(exponential * self._value),
            coarse.eq(Cat(0, product) >> Cat(Const(0, _FINE_BITS), later[_FINE_BITS:])),
            halves.eq(coarse >> delay(m, later[:_FINE_BITS], 1, "fine")),
        ]
        return halves

    def _add(self, m: Module, memory: ImportanceMemory, halves: Value) -> None:
        """Round, add to the heads before, write."""
        first = self._first[self._slot]
        before = Mux(first, 0, memory.read_importance)
        total = Signal(IMPORTANCE_BITS, reset_less=True)
        m.d.sync += total.eq((Cat(halves[0], before) + halves) >> 1)  # the lowest place carries when it is a half
        m.d.comb += [
            memory.enable.eq(delay_valid(m, self._walking, self.steps - 1)),
            memory.clear.eq(first),
            memory.position.eq(delay(m, self._position, self.steps - 1, "position")),
            memory.importance.eq(total),
        ]

    def _ports(self, m: Module, memory: ImportanceMemory) -> None:
        """Single importances are read by the walk or by SELECT, words by SELECT or for a STORE."""
        asked = delay(m, self._position, self.steps - 2 - READ_LATENCY, "asked")
        under_way, select = Signal(name="walk_under_way"), self.importance
        keys = Signal(ROW_BITS)
        m.d.comb += [
            under_way.eq(~self._quiet),
            memory.read_position.eq(Mux(under_way, asked, select.position)),
            memory.word.eq(Mux(select.searching, select.word, self.store.address)),
            self.store_taken.eq(select.searching),
            select.words.eq(memory.words),
            select.importance.eq(memory.read_importance),
            select.keys.eq(keys),
            select.idle.eq(self.idle),
        ]
        with m.If(self.observed):
            m.d.sync += keys.eq(self._keys[self._slot])
        lanes = importance_lanes(self._arch)
        m.d.comb += [
            self.store.data[STORED_BITS * i : STORED_BITS * (i + 1)].eq(memory.words.word_select(i, IMPORTANCE_BITS))
            for i in range(lanes)
        ]
