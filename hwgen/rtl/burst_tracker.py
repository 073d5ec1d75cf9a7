"""Burst tracker: which beat of a read is the last one of its burst, by what was asked and not by what the bus says."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out


class BurstTracker(wiring.Component):
    """Lengths of the requested bursts, oldest first, and the beats that the oldest one still lacks.

    RLAST alone would not do: a slave that raises it early would end a burst whose other beats are still to come, and
    these would count as data of the next one.

    Parameters
    ----------
    beats: the longest burst. depth: bursts that may be under way.

    Members
    -------
    put: In(1), a burst of ``length_less_one`` + 1 beats was requested: In(8). No more than ``depth`` may be under way.
    take: In(1), a beat came.
    active: Out(1), a burst is under way. last: Out(1), the next beat is the last one of its burst.

    Timing: a burst put in cycle t is in ``active`` and ``last`` in cycle t + 1 when it is alone, otherwise in the
    cycle after the last beat of the one before it; both are registers.
    """

    def __init__(self, beats: int, depth: int) -> None:
        if beats < 1 or depth < 1:
            raise ValueError(f"BurstTracker takes beats and depth of at least 1, got {beats}, {depth}")
        self._bits, self._depth = max(1, (beats - 1).bit_length()), depth
        super().__init__(
            {"put": In(1), "length_less_one": In(8), "take": In(1), "active": Out(1), "last": Out(1)},
        )

    def elaborate(self, platform: object) -> Module:
        """A queue of lengths behind a counter for the oldest burst."""
        m = Module()
        m.submodules.lengths = lengths = SyncFIFO(width=self._bits, depth=self._depth)
        left = Signal(self._bits)  # beats of the oldest burst after the next one
        ended, following = Signal(), Signal(self._bits)
        m.d.comb += [
            ended.eq(~self.active | (self.take & self.last)),
            following.eq(Mux(lengths.r_rdy, lengths.r_data, self.length_less_one)),
            lengths.w_data.eq(self.length_less_one),
            lengths.w_en.eq(self.put & (~ended | lengths.r_rdy)),
            lengths.r_en.eq(ended),
        ]
        with m.If(ended):
            m.d.sync += [
                self.active.eq(lengths.r_rdy | self.put),
                left.eq(following),
                self.last.eq(following == 0),
            ]
        with m.Elif(self.take):
            m.d.sync += [left.eq(left - 1), self.last.eq(left == 1)]
        return m
