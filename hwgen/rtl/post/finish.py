"""Last step of a row: residual addition and saturation as its destination says."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.post.requant import saturate
from hwgen.spec.destinations import destinations
from hwgen.spec.isa import Destination

ADDED = destinations(adds=True)
NARROW = destinations(bits=8)


class FinishLanes(wiring.Component):
    """``y = sat(x + residual)``, ``sat(x + zero)`` or ``sat(x)`` in every lane.

    RESIDUAL and EXPERT add the residual and clip to 16 bits; QUERY, KEY, VALUE, HIDDEN and CONTEXT clip to -127..127,
    SCORE to 10 bits, GATE and RESULT to 16 bits. Lanes whose ``keep`` is low are zero. One adder serves residual and
    zero point, because no row has both: a bit of the sum comes from four signals.

    Parameters
    ----------
    lanes: values per cycle.

    Members
    -------
    x[lane]: In(signed(16)). residual[lane]: In(signed(16)). destination: In(4). keep: In(lanes), one cycle after x.
    zero: In(signed(8)), zero point of all lanes, a register; 0 while the destination adds the residual.
    y[lane]: Out(signed(16)).

    Timing: fully pipelined, ``latency`` cycles: sum, saturation.

    Equals golden.linear.add_residual, the last step of golden.gelu.hidden, golden.rounding.sat8, sat10 and sat16.
    """

    latency = 2

    def __init__(self, lanes: int) -> None:
        if lanes < 1:
            raise ValueError(f"FinishLanes takes at least one lane, got {lanes}")
        self._lanes = lanes
        values = data.ArrayLayout(signed(16), lanes)
        super().__init__(
            {
                "x": In(values),
                "residual": In(values),
                "zero": In(signed(8)),
                "destination": In(4),
                "keep": In(lanes),
                "y": Out(values),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Decode, then one adder and one clip a lane."""
        m = Module()
        added, narrow, score = Signal(), Signal(reset_less=True), Signal(reset_less=True)
        m.d.comb += added.eq(self.destination.matches(*map(int, ADDED)))
        m.d.sync += [
            narrow.eq(self.destination.matches(*map(int, NARROW))),
            score.eq(self.destination == int(Destination.SCORE)),
        ]
        for lane in range(self._lanes):
            total = Signal(signed(17), name=f"total_{lane}", reset_less=True)
            y = Signal(signed(16), name=f"y_{lane}", reset_less=True)
            m.d.sync += total.eq(self.x[lane] + (Mux(added, self.residual[lane], 0) | self.zero))
            clipped = Mux(narrow, saturate(total, 8), Mux(score, saturate(total, 10), saturate(total, 16)))
            m.d.sync += y.eq(Mux(self.keep[lane], clipped, 0))
            m.d.comb += self.y[lane].eq(y)
        return m
