"""Performance counters: what the read-only registers of a run show."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member, Out

from hwgen.rtl.lib.interfaces import ATTENTION_READS_BITS
from hwgen.spec.registers import BY_NAME

PULSED = {  # register name -> what one count is; a pulse port of the same name in lower case
    "MAC_CYCLES": "the array multiplies",
    "WRITE_BEATS": "a beat is written",
    "WAIT_OPERAND": "the array waits for the operand loader",
    "WAIT_WEIGHT": "it waits for the weight ring",
    "WAIT_DRAIN": "it waits for the accumulators to drain",
    "WAIT_DEPENDENCE": "it waits for a progress counter",
    "WAIT_IDLE": "the compute unit has no instruction",
    "ATTENTION_STEPS": "a step of the reordered attention schedule ends",
}
LARGEST = ("ATTENTION_QUERY_READS", "ATTENTION_KEY_READS")


class PerfCounters(wiring.Component):
    """Counts pulses while a run is on; the counters keep their values from its end to the next start.

    Members
    -------
    clear: In(1), pulse, everything to zero. running: In(1), count.
    mac_cycles ... attention_steps: In(1), one pulse port per name in ``PULSED``; read_beats: In(ports), one per reader.
    attention_query_reads, attention_key_reads: In(8), reads of the step that ends, with ``attention_steps``.
    counts__<register name in lower case>: Out, the registers.

    Timing: ``latency`` = 1 from a pulse to the count.
    """

    latency = 1

    def __init__(self, readers: int) -> None:
        if readers < 1:
            raise ValueError(f"readers must be at least 1, got {readers}")
        members: dict[str, Member] = {"clear": In(1), "running": In(1), "read_beats": In(readers)}
        members |= {name.lower(): In(1) for name in PULSED}
        members |= {name.lower(): In(ATTENTION_READS_BITS) for name in LARGEST}
        names = ("CYCLES", "READ_BEATS", *PULSED, *LARGEST)
        members["counts"] = Out(wiring.Signature({name.lower(): Out(BY_NAME[name].bits) for name in names}))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """An adder per counter, two maxima."""
        m = Module()
        self._count(m, "CYCLES", 1)
        self._count(m, "READ_BEATS", sum(self.read_beats, start=self.read_beats[0] & 0))
        for name in PULSED:
            self._count(m, name, getattr(self, name.lower()))
        for name in LARGEST:
            self._largest(m, name)
        return m

    def _count(self, m: Module, name: str, amount: Value | int) -> None:
        total = getattr(self.counts, name.lower())
        with m.If(self.clear):
            m.d.sync += total.eq(0)
        with m.Elif(self.running):
            m.d.sync += total.eq(total + amount)

    def _largest(self, m: Module, name: str) -> None:
        most = getattr(self.counts, name.lower())
        value = Signal(ATTENTION_READS_BITS, name=f"{name.lower()}_now")
        m.d.comb += value.eq(Mux(self.attention_steps, getattr(self, name.lower()), 0))
        with m.If(self.clear):
            m.d.sync += most.eq(0)
        with m.Elif(self.running & (value > most)):
            m.d.sync += most.eq(value)
