"""Token search: the importance that the most important positions reach, two bits of it a pass over all of them."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.interfaces import ROW_BITS, WORD_ADDRESS_BITS
from hwgen.rtl.lib.loop_counter import LoopCounter
from hwgen.rtl.lib.pipeline import add, delay, delay_valid, tree
from hwgen.spec.arch import ArchConfig
from hwgen.spec.choices import ADDER_LEVELS, READ_LATENCY, SEARCH_DIGIT_BITS, SEARCH_PASSES, importance_lanes
from hwgen.spec.numerics import IMPORTANCE_BITS
from hwgen.spec.stages import tree_stages

_DIGITS = 2**SEARCH_DIGIT_BITS


class TokenSelect(wiring.Component):
    """Finds the largest threshold that ``keep`` positions behind the first ``prefix`` reach; ``golden.select.kept``.

    A pass finds a digit of two bits, from the top. Positions whose importance begins with the digits found so far are
    still *tied*; of these a pass counts how many have a digit of at least 1, 2 and 3. The threshold's digit is the
    largest that enough of them reach; those with a larger one are above the threshold, whatever follows.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    start: In(1). rows, prefix, keep: In(12), stable from ``start`` to ``done``; 1 <= keep <= rows - prefix.
    word: Out(16) -> words: In(29 * lanes), READ_LATENCY later; positions past ``rows`` in the last word are zero.
    searching: Out(1), words are asked for.
    done: Out(1). threshold: Out(29), and equal: Out(12), how many of the positions that are equal to it belong to the
    ``keep``: both stay from ``done`` to the next ``start``.

    Timing: ``cycles(rows)`` from ``start`` to ``done``, of them ``wait`` a pass besides one a word.
    """

    def __init__(self, arch: ArchConfig) -> None:
        self._arch, self._lanes = arch, importance_lanes(arch)
        self._tree = tree_stages(self._lanes, ADDER_LEVELS)
        self._counted = READ_LATENCY + 1 + self._tree  # word asked for to the counts of its digits
        self.wait = self._tree + 2
        super().__init__(
            {
                "start": In(1),
                "rows": In(ROW_BITS),
                "prefix": In(ROW_BITS),
                "keep": In(ROW_BITS),
                "searching": Out(1),
                "word": Out(WORD_ADDRESS_BITS),
                "words": In(IMPORTANCE_BITS * self._lanes),
                "done": Out(1),
                "threshold": Out(IMPORTANCE_BITS),
                "equal": Out(ROW_BITS),
            }
        )

    def cycles(self, rows: int) -> int:
        """Cycles from ``start`` to ``done``."""
        return SEARCH_PASSES * (-(-rows // self._lanes) + self.wait) + READ_LATENCY + 2

    def elaborate(self, platform: object) -> Module:
        """Words one by one, tied positions and their digits, counts, and the digit of the threshold."""
        m = Module()
        self._digit = Signal(SEARCH_DIGIT_BITS)  # of the threshold, found by the pass before
        valid, first_pass, last = self._control(m)
        tied, digits = self._judge(m, valid, first_pass)
        self._count(m, tied, digits, valid, last)
        return m

    def _control(self, m: Module) -> tuple[Value, Value, Value]:
        """Walk the words of each pass; (a word, of the first pass, the last of its pass) when it is asked for."""
        lane_bits = (self._lanes - 1).bit_length()
        pause, asked = Signal(range(self.wait + 1)), Signal()
        self._pass = Signal(range(SEARCH_PASSES))
        words = LoopCounter(m, ((self.rows - 1)[:ROW_BITS] >> lane_bits) + 1, "word")
        active, ends = Signal(), Signal()
        m.d.comb += [
            self.word.eq(words.turn),
            asked.eq(active & (pause == 0)),
            ends.eq(asked & words.at_last),
        ]
        with m.If(self.start):
            m.d.sync += [active.eq(1), self._pass.eq(0), pause.eq(0)]
            words.restart()
        with m.Elif(asked):
            words.step()
            with m.If(words.at_last):
                m.d.sync += [pause.eq(self.wait), self._pass.eq(self._pass + 1)]
                with m.If(self._pass == SEARCH_PASSES - 1):
                    m.d.sync += active.eq(0)
        with m.Elif(active):
            m.d.sync += pause.eq(pause - 1)
        m.d.comb += self.searching.eq(active)
        m.d.comb += self.done.eq(delay_valid(m, ends & (self._pass == SEARCH_PASSES - 1), self._counted + 3))
        return asked, self._pass == 0, ends

    def _judge(self, m: Module, valid: Value, first_pass: Value) -> tuple[Value, list[Value]]:
        """Which positions of the word are tied, and their digits: registered, a cycle after the word came."""
        lanes, lane_bits = self._lanes, (self._lanes - 1).bit_length()
        index = delay(m, (SEARCH_PASSES - 1 - self._pass)[: len(self._pass)], READ_LATENCY, "index")
        place = delay(m, self.word, READ_LATENCY, "place")
        behind, partly = Signal(reset_less=True), Signal(reset_less=True)
        prefix_word = self.prefix >> lane_bits
        early = delay(m, self.word, READ_LATENCY - 1, "early")
        m.d.sync += [behind.eq(early > prefix_word), partly.eq(early == prefix_word)]
        initial = Signal(lanes)
        within: list[Value] = [self.prefix[:lane_bits] <= i for i in range(lanes - 1)]
        m.d.comb += [initial[i].eq(behind | (partly & here)) for i, here in enumerate((*within, Const(1)))]
        old_tied, old_digits, write = self._state(m)
        tied = Signal(lanes, reset_less=True)
        digits = [Signal(SEARCH_DIGIT_BITS, name=f"digit_{i}", reset_less=True) for i in range(lanes)]
        first = delay(m, first_pass, READ_LATENCY, "first_pass")
        for i in range(lanes):
            goes_on = old_tied[i] & (old_digits[i] == self._digit)
            value = self.words.word_select(i, IMPORTANCE_BITS)
            padded = Cat(value, Signal(name=f"pad_{i}"))
            m.d.sync += [
                tied[i].eq(Mux(first, initial[i], goes_on)),
                digits[i].eq(padded.word_select(index, SEARCH_DIGIT_BITS)),
            ]
        m.d.comb += [
            write.en.eq(delay_valid(m, valid, READ_LATENCY + 1)),
            write.addr.eq(delay(m, place, 1, "write_place")),
            write.data.eq(Cat(tied, *digits)),
        ]
        return tied, list(digits)

    def _state(self, m: Module) -> tuple[Value, list[Value], Any]:
        """What the pass before left of the word that is here, and the port that takes what this one leaves."""
        lanes, depth = self._lanes, max(2, -(-self._arch.max_tokens // self._lanes))
        width = lanes * (1 + SEARCH_DIGIT_BITS)
        m.submodules.state = state = Memory(shape=unsigned(width), depth=depth, init=[])
        read, write = state.read_port(domain="comb"), state.write_port()
        m.d.comb += read.addr.eq(delay(m, self.word, 1, "read_place"))
        left = delay(m, read.data, 1, "left")
        digits = left[lanes:]
        return left[:lanes], [digits.word_select(i, SEARCH_DIGIT_BITS) for i in range(lanes)], write

    def _count(self, m: Module, tied: Value, digits: list[Value], valid: Value, last: Value) -> None:
        """How many tied positions have at least each digit; at the end of a pass, the digit that enough reach."""
        here = delay_valid(m, valid, self._counted)
        ends = delay_valid(m, last, self._counted)
        decide, update = delay_valid(m, ends, 1), delay_valid(m, ends, 2)
        reached: list[Value] = []
        counts: list[Signal] = []
        need = Signal(ROW_BITS)  # positions still to be found among those that are tied
        for least in range(1, _DIGITS):
            has = [tied[i] & (digit >= least) for i, digit in enumerate(digits)]
            found = tree(m, has, add, ADDER_LEVELS, f"found_{least}")
            count = Signal(ROW_BITS, name=f"count_{least}")
            with m.If(decide):
                m.d.sync += count.eq(0)
            with m.Elif(here):
                m.d.sync += count.eq(count + found)
            reached.append(count >= need)
            counts.append(count)
        above = Signal(ROW_BITS, reset_less=True)  # of the counts, that of the positions above the threshold
        digit = Mux(reached[2], 3, Mux(reached[1], 2, reached[0]))
        with m.If(decide):
            m.d.sync += [
                self._digit.eq(digit),
                above.eq(Mux(reached[2], 0, Mux(reached[1], counts[2], Mux(reached[0], counts[1], counts[0])))),
                self.threshold.eq(Cat(digit, self.threshold)),
            ]
        with m.If(self.start):
            m.d.sync += need.eq(self.keep)
        with m.Elif(update):
            m.d.sync += need.eq(need - above)
        m.d.comb += self.equal.eq(need)
