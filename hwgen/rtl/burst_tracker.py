"""Burst tracker: whose beat comes next, and whether it is the last one of its burst, by what was asked."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.grant_queue import GrantQueue


class BurstTracker(wiring.Component):
    """Owner and length of the requested bursts, oldest first, and how many beats of the oldest one have come.

    RLAST alone would not do: a slave that raises it early would end a burst whose other beats are still to come, and
    these would count as data of the next one.

    Parameters
    ----------
    beats: the longest burst. depth: bursts that may be under way. owners: who may ask for bursts.

    Members
    -------
    put: In(1), while ``room``: ``requester``, In(owners), one-hot, asked for ``length_less_one`` + 1 beats, In(8).
    take: In(1), a beat came; counts while a burst is under way.
    owner: Out(owners), one-hot, of the oldest burst; zero when none is under way. last: Out(1), its next beat is its
        last one. room: Out(1).

    Timing: a burst put in cycle t is in ``owner`` and ``last`` in cycle t + 1 when it is alone, otherwise in the cycle
    after the last beat of the one before it. Outputs depend on registers only: ``take`` may come late in a cycle.
    """

    def __init__(self, beats: int, depth: int, owners: int = 1) -> None:
        if beats < 1:
            raise ValueError(f"BurstTracker takes beats of at least 1, got {beats}")
        self._bits = max(1, (beats - 1).bit_length())
        self._bursts = GrantQueue(owners + self._bits, depth)
        super().__init__(
            {
                "put": In(1),
                "requester": In(owners),
                "length_less_one": In(8),
                "take": In(1),
                "owner": Out(owners),
                "last": Out(1),
                "room": Out(1),
            },
        )

    def elaborate(self, platform: object) -> Module:
        """A queue of bursts, and the index of the next beat in the oldest one."""
        m = Module()
        m.submodules.bursts = bursts = self._bursts
        index, length_less_one = Signal(self._bits), Signal(self._bits)
        m.d.comb += [
            bursts.put.eq(self.put),
            bursts.client.eq(Cat(self.requester, self.length_less_one[: self._bits])),
            bursts.take.eq(self.take & self.owner.any() & self.last),
            Cat(self.owner, length_less_one).eq(bursts.oldest),
            self.last.eq(index == length_less_one),
            self.room.eq(bursts.room),
        ]
        with m.If(bursts.take):
            m.d.sync += index.eq(0)
        with m.Elif(self.take & self.owner.any()):
            m.d.sync += index.eq(index + 1)
        return m
