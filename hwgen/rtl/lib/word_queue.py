"""Queue of words in a memory: the caller counts the room, the queue keeps the order."""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out


class WordQueue(wiring.Component):
    """First in, first out; no back-pressure: putting into a full or taking from an empty queue is the caller's error.

    Parameters
    ----------
    width: bits of a word. depth: words, a power of two.

    Members
    -------
    put: In(1). word: In(width), stored when ``put``.
    take: In(1), drop the oldest word.
    oldest: Out(width), what was the oldest word ``latency`` cycles ago.
    level: Out, words inside; counts a put or a take in the next cycle.

    Timing: a word put in cycle t is in ``level`` and may be taken in cycle t + 1.
    """

    latency = 1

    def __init__(self, width: int, depth: int) -> None:
        if depth < 2 or depth & (depth - 1):
            raise ValueError(f"WordQueue depth must be a power of two of at least 2, got {depth}")
        self._width, self._depth = width, depth
        super().__init__(
            {
                "put": In(1),
                "word": In(width),
                "take": In(1),
                "oldest": Out(width),
                "level": Out(range(depth + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Two pointers and a level."""
        m = Module()
        m.submodules.memory = memory = Memory(shape=unsigned(self._width), depth=self._depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        put_at, take_at = Signal(range(self._depth)), Signal(range(self._depth))
        m.d.comb += [
            write.addr.eq(put_at),
            write.data.eq(self.word),
            write.en.eq(self.put),
            read.addr.eq(take_at),
            self.oldest.eq(read.data),
        ]
        m.d.sync += [
            put_at.eq(put_at + self.put),
            take_at.eq(take_at + self.take),
            self.level.eq(self.level + self.put - self.take),
        ]
        return m
