"""Grant queue: whose data comes next, as one bit a client."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class GrantQueue(wiring.Component):
    """A shift register of grants, none of them zero, with a one-hot level: everything it shows is a register.

    Parameters
    ----------
    clients: bits of a grant. depth: grants.

    Members
    -------
    put: In(1), while ``room``. client: In(clients), not zero. take: In(1), drop the oldest grant; there must be one.
    oldest, second: Out(clients), zero when there is none. room: Out(1).

    Timing: a grant put in cycle t is in ``oldest`` or behind it in cycle t + 1; one put and one take a cycle.
    """

    def __init__(self, clients: int, depth: int) -> None:
        if clients < 1 or depth < 1:
            raise ValueError(f"GrantQueue takes clients and depth of at least 1, got {clients}, {depth}")
        self._clients, self._depth = clients, depth
        super().__init__(
            {
                "put": In(1),
                "client": In(clients),
                "take": In(1),
                "oldest": Out(clients),
                "second": Out(clients),
                "room": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Grants from the oldest on; those behind the last one are zero."""
        m = Module()
        grants = [Signal(self._clients, name=f"grant_{i}") for i in range(self._depth)]
        level = Signal(self._depth + 1, init=1)  # bit i: i grants
        with m.If(self.put & ~self.take):
            m.d.sync += level.eq(level << 1)
        with m.Elif(self.take & ~self.put):
            m.d.sync += level.eq(level >> 1)
        for i, grant in enumerate(grants):
            behind = grants[i + 1] if i + 1 < self._depth else Value.cast(0)
            stays = Mux(self.put & level[i], self.client, grant)
            moves = Mux(self.put & level[i + 1], self.client, behind)
            m.d.sync += grant.eq(Mux(self.take, moves, stays))
        m.d.comb += self.second.eq(grants[1] if self._depth > 1 else 0)
        m.d.comb += [self.oldest.eq(grants[0]), self.room.eq(~level[self._depth])]
        return m
