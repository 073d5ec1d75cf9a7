"""Loop counter: the turns of a loop, and a register that says that this is the last one."""

from amaranth.hdl import Module, Signal, Value, signed


class LoopCounter:
    """Counts 0..``turns`` - 1; what ends with the loop reads a register instead of comparing the count.

    ``turns`` is there in the cycle of ``restart`` and stays. A loop of no turns never reaches its last one.
    Call ``restart`` and ``step`` inside the conditions under which they are to happen.
    """

    def __init__(self, m: Module, turns: Value, name: str) -> None:
        self.turn = Signal(len(turns), name=name)
        self.at_last = Signal(name=f"{name}_at_last")
        self._m, self._single = m, turns == 1
        self._last_but_one = Signal(signed(len(turns) + 1), name=f"{name}_last_but_one")
        m.d.sync += self._last_but_one.eq(turns - 2)

    def restart(self) -> None:
        """Go to the first turn."""
        self._m.d.sync += [self.turn.eq(0), self.at_last.eq(self._single)]

    def step(self) -> None:
        """Go to the next turn, from the last one to the first."""
        with self._m.If(self.at_last):
            self.restart()
        with self._m.Else():
            self._m.d.sync += [self.turn.eq(self.turn + 1), self.at_last.eq(self.turn == self._last_but_one)]
