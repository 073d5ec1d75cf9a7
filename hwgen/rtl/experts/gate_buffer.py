"""Gate buffer: assembles the logits of a token from output tiles and keeps tokens until the gate takes them."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.interfaces import PC_BITS, ROW_BITS, logit_row
from hwgen.rtl.lib.pipeline import delay
from hwgen.spec.arch import ArchConfig

PROMISED_ROWS = 128  # tokens that may still arrive while ``space`` is high
_DEPTH = 256  # tokens


def gate_token() -> data.StructLayout:
    """What travels with the logits of a token."""
    return data.StructLayout({"pc": PC_BITS, "row": ROW_BITS, "experts": 6, "top_k": 6, "renormalise": 1, "clear": 1})


class GateBuffer(wiring.Component):
    """Tokens in the order of arrival, each with the logits of all experts.

    Parameters
    ----------
    arch: the machine.

    Members
    -------
    i: In(logit_row(arch)), no back-pressure. The rows of a token tile come lane by lane from lane 0, output tile after
    output tile.
    space: Out(1): there is room for PROMISED_ROWS tokens that have not arrived yet, those in flight included.
    level: Out, complete tokens inside. token: Out(gate_token()), the oldest one.
    take: In(1), drop the oldest token; logits[i]: Out(signed 16): its logits, ``latency`` cycles after ``take``.

    Timing: a token is in ``level`` one cycle after its last row.
    """

    latency = 2

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        self._tiles = arch.words(arch.max_experts)
        super().__init__(
            {
                "i": In(logit_row(arch)),
                "space": Out(1),
                "level": Out(range(_DEPTH + 1)),
                "token": Out(gate_token()),
                "take": In(1),
                "logits": Out(data.ArrayLayout(signed(16), arch.max_experts)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """One memory per output tile; tokens of a token tile lie side by side."""
        m = Module()
        base, end, oldest = (Signal(range(_DEPTH), name=name) for name in ("base", "end", "oldest"))
        place = Signal(range(_DEPTH))
        starts = (self.i.tile == 0) & (self.i.lane == 0)
        complete = self.i.valid & self.i.last_tile
        m.d.comb += place.eq(Mux(starts, end, base) + self.i.lane)
        with m.If(self.i.valid & starts):
            m.d.sync += base.eq(end)
        with m.If(complete):
            m.d.sync += end.eq(place + 1)
        partial = self._arch.token_lanes + 1  # tokens being assembled, and one that ``level`` does not show yet
        m.d.sync += [
            oldest.eq(oldest + self.take),
            self.level.eq(self.level + complete - self.take),
            self.space.eq(self.level <= _DEPTH - PROMISED_ROWS - partial),
        ]
        self._logits(m, place, oldest)
        self._token(m, place, oldest)
        return m

    def _logits(self, m: Module, place: Signal, oldest: Signal) -> None:
        lanes, experts = self._arch.output_lanes, self._arch.max_experts
        words = []
        for tile in range(self._tiles):
            memory = Memory(shape=unsigned(16 * lanes), depth=_DEPTH, init=[])
            m.submodules[f"tile_{tile}"] = memory
            write, read = memory.write_port(), memory.read_port()
            m.d.comb += [
                write.en.eq(self.i.valid & (self.i.tile == tile)),
                write.addr.eq(place),
                write.data.eq(self.i.logits.as_value()),
                read.addr.eq(oldest),
            ]
            words.append(read.data)
        m.d.comb += self.logits.as_value().eq(delay(m, Cat(words)[: 16 * experts], self.latency - 1, "logits"))

    def _token(self, m: Module, place: Signal, oldest: Signal) -> None:
        """Written with the first word of a token, read without a clock."""
        m.submodules.tokens = tokens = Memory(shape=unsigned(gate_token().size), depth=_DEPTH, init=[])
        write, read = tokens.write_port(), tokens.read_port(domain="comb")
        token = Signal(gate_token())
        m.d.comb += [getattr(token, name).eq(getattr(self.i, name)) for name in ("pc", "row", "experts", "top_k")]
        m.d.comb += [
            token.renormalise.eq(self.i.renormalise),
            token.clear.eq(self.i.first_tile & (self.i.lane == 0)),
            write.en.eq(self.i.valid & (self.i.tile == 0)),
            write.addr.eq(place),
            write.data.eq(token.as_value()),
            read.addr.eq(oldest),
            self.token.as_value().eq(read.data),
        ]
