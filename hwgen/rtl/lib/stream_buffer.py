"""Two registers in a stream, so that no path runs through it, forwards or backwards."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class StreamBuffer(wiring.Component):
    """What comes in goes out one cycle later; while it is not taken, one more is kept.

    Parameters
    ----------
    shape: of the payload.

    Members
    -------
    i: In stream. o: Out stream.

    Timing: ``latency`` cycles, one payload a cycle; ``i.ready``, ``o.valid`` and ``o.payload`` come from registers.
    """

    latency = 1

    def __init__(self, shape: Any) -> None:
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})
        self._shape = shape

    def elaborate(self, platform: object) -> Module:
        """The output register, and the one that fills when the output does not move."""
        m = Module()
        spare, held = Signal(self._shape, reset_less=True), Signal()
        m.d.comb += self.i.ready.eq(~held)
        with m.If(~held):
            m.d.sync += spare.eq(self.i.payload)
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [
                self.o.payload.eq(Mux(held, spare, self.i.payload)),
                self.o.valid.eq(held | self.i.valid),
                held.eq(0),
            ]
        with m.Elif(self.i.valid):
            m.d.sync += held.eq(1)
        return m
