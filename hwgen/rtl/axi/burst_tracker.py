"""Burst tracker: whose beat comes next, and whether it is the last one of its burst, by what was asked."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.axi.grant_queue import GrantQueue


class BurstTracker(wiring.Component):
    """Owner and length of the requested bursts, oldest first, and how many beats of the oldest one have come.

    RLAST alone would not do: a slave that raises it early would end a burst whose other beats are still to come, and
    these would count as data of the next one.

    Parameters
    ----------
    beats: the longest burst. depth: bursts for which there is room at least. owners: who may ask for bursts.

    Members
    -------
    put: In(1), while ``room``: ``requester``, In(owners), one-hot, asked for ``length_less_one`` + 1 beats, In(8).
    take: In(1), a beat came; counts while a burst is under way.
    owner: Out(owners), one-hot, of the oldest burst; zero when none is under way. last: Out(1), its next beat is its
        last one. room: Out(1).

    Timing: a burst put in cycle t is in ``owner`` and ``last`` in cycle t + 1 when it is alone, otherwise in the cycle
    after the last beat of the one before it; these are registers. ``room`` comes back two cycles after a last beat.
    """

    def __init__(self, beats: int, depth: int, owners: int = 1) -> None:
        if beats < 1 or depth < 1:
            raise ValueError(f"BurstTracker takes beats and depth of at least 1, got {beats}, {depth}")
        self._bits = max(1, (beats - 1).bit_length())
        self._queue = GrantQueue(owners + self._bits, max(1, depth - 1))  # the oldest one is not in it
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
        """The oldest burst in registers of its own; a queue that drops it a cycle after it has become the oldest.

        So ``take`` only enables the registers: what they would be loaded with is known before.
        """
        m = Module()
        m.submodules.queue = queue = self._queue
        owners, bits = len(self.owner), self._bits
        state = data.StructLayout({"owner": owners, "length_less_one": bits, "index": bits, "last": 1})
        now, stepped, loaded = (Signal(state, name=name) for name in ("now", "stepped", "loaded"))
        new, following, candidate = (Signal(owners + bits, name=name) for name in ("new", "following", "candidate"))
        vacant, load, moved = Signal(), Signal(), Signal()  # moved: the queue still shows what is in ``now``
        m.d.comb += [
            new.eq(Cat(self.requester, self.length_less_one[:bits])),
            queue.put.eq(self.put),
            queue.client.eq(new),
            queue.take.eq(moved),
            following.eq(Mux(moved, queue.second, queue.oldest)),
            candidate.eq(Mux(following[:owners].any(), following, Mux(self.put, new, 0))),
            loaded.owner.eq(candidate[:owners]),
            loaded.length_less_one.eq(candidate[owners:]),
            loaded.last.eq(candidate[:owners].any() & (candidate[owners:] == 0)),
            stepped.eq(now),
            stepped.index.eq(now.index + 1),
            stepped.last.eq(now.index + 1 == now.length_less_one),
            vacant.eq(~now.owner.any()),
            load.eq(vacant | now.last),
            self.owner.eq(now.owner),
            self.last.eq(now.last),
            self.room.eq(queue.room),
        ]
        m.d.sync += moved.eq(0)
        with m.If(self.take | vacant):
            m.d.sync += [now.eq(Mux(load, loaded, stepped)), moved.eq(load & candidate[:owners].any())]
        return m
