"""Sequencer: start, program, end, and what happens when something goes wrong."""

from amaranth.hdl import Cat, Module, ResetInserter, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hwgen.rtl.axi.bus import axi4_read
from hwgen.rtl.axi.read_engine import ReadEngine
from hwgen.rtl.control.dispatcher import UNITS, Dispatcher
from hwgen.rtl.control.program_fetch import ProgramFetch
from hwgen.rtl.lib.interfaces import PC_BITS, fault, issued
from hwgen.spec.arch import ArchConfig
from hwgen.spec.choices import GIVE_UP_CYCLES
from hwgen.spec.isa import ErrorCode


class Sequencer(wiring.Component):
    """Runs one program per start. It stands outside the core reset, which it drives.

    Parameters
    ----------
    faults: fault ports. idles: units that must be idle at the end. engines: AXI engines that must stop before a reset.

    Members
    -------
    start: In(1), level: run as soon as possible. accepted: Out(1), pulse: the run begins. done: Out(1), pulse.
    running: Out(1), from accepted to done. idle: Out(1), not running, or refusing to run.
    program: In(64). misaligned: In(1), a pointer of this run is no address. watchdog: In(32), cycles, 0 for never.
    error_code: Out(4), error_pc: Out(16): how the last run ended.
    core_reset: Out(1), for everything but the sequencer, the registers and the AXI engines, one cycle long.
    halt: Out(1), to every AXI engine: from an error on, until the bus owes none of them anything, however long.
    faults[i]: In(fault). idles: In(idles), low from the cycle after a unit takes an instruction until its effects are
        done. busy: In(engines), of the engines outside.
    load, io, compute, norm: Out(stream of issued), instructions to the units.
    bus: Out(axi4_read), program fetch. beat: Out(1), a beat of it.

    Timing
    ------
    start_latency: cycles from ``accepted`` to the first request of the program.
    end_latency: cycles from the last unit being idle to ``done``.
    report_latency: most cycles from ``watchdog`` cycles after ``accepted`` to ``done``.
    ``done`` comes in the cycle after ``accepted`` when the bus still owes answers (BUS), and in the one behind it when
    a pointer is misaligned.
    """

    start_latency = 4 + ReadEngine.command_latency  # reset, its effect, start, request
    end_latency = 2
    report_latency = GIVE_UP_CYCLES + 6

    def __init__(self, arch: ArchConfig, faults: int, idles: int, engines: int) -> None:
        streams = {unit.name.lower(): Out(stream.Signature(issued())) for unit in UNITS}
        super().__init__(
            {
                "start": In(1),
                "accepted": Out(1),
                "done": Out(1),
                "running": Out(1),
                "idle": Out(1),
                "program": In(64),
                "misaligned": In(1),
                "watchdog": In(32),
                "error_code": Out(4),
                "error_pc": Out(PC_BITS),
                "core_reset": Out(1),
                "halt": Out(1),
                "faults": In(fault()).array(faults),
                "idles": In(idles),
                "busy": In(engines),
                **streams,
                "bus": Out(axi4_read()),
                "beat": Out(1),
            }
        )
        self._arch = arch

    def elaborate(self, platform: object) -> Module:
        """Fetch and dispatcher inside the core reset, control outside."""
        m = Module()
        fetch, dispatcher = ProgramFetch(self._arch), Dispatcher()
        m.submodules.fetch = ResetInserter(self.core_reset)(fetch)
        m.submodules.dispatcher = ResetInserter(self.core_reset)(dispatcher)
        connect(m, fetch.bus, flipped(self.bus))
        connect(m, fetch.instructions, dispatcher.instructions)
        for unit in UNITS:
            name = unit.name.lower()
            connect(m, getattr(dispatcher, name), flipped(getattr(self, name)))
        m.d.comb += [
            fetch.program.eq(self.program),
            fetch.halt.eq(self.halt),
            self.beat.eq(fetch.beat),
            self.running.eq(~self.idle),
        ]
        watching, failed, finished, stopped = Signal(), Signal(), Signal(), Signal()
        self._first_fault(m, fetch, dispatcher, watching, failed)
        m.d.comb += stopped.eq(~fetch.busy & ~self.busy.any())
        self._quiet(m, dispatcher, watching & stopped, finished)
        self._control(m, fetch.start, watching, failed, finished, stopped)
        return m

    def _first_fault(
        self, m: Module, fetch: ProgramFetch, dispatcher: Dispatcher, watching: Signal, failed: Signal
    ) -> None:
        """Keeps the first fault of a run; of several at once, the first of the list."""
        self.elapsed = elapsed = Signal(32)  # an attribute: tests set it ahead
        expired = Signal()
        m.d.sync += [elapsed.eq(elapsed + 1), expired.eq((self.watchdog != 0) & (elapsed >= self.watchdog))]
        reports: list[tuple[Value, Value | int, Value]] = [
            (fetch.error, ErrorCode.AXI_READ, dispatcher.pc),
            (fetch.fault.valid, fetch.fault.code, fetch.fault.pc),
            *((port.valid, port.code, port.pc) for port in self.faults),
            (expired, ErrorCode.WATCHDOG, dispatcher.pc),
        ]
        with m.If(self.accepted):
            m.d.sync += [elapsed.eq(0), expired.eq(0), failed.eq(0), self.error_code.eq(0), self.error_pc.eq(0)]
        seen = [self._seen(m, index, *report) for index, report in enumerate(reports)]
        with m.If(watching & ~failed):
            for valid, code, pc in reversed(seen):
                with m.If(valid):
                    m.d.sync += [failed.eq(1), self.error_code.eq(code), self.error_pc.eq(pc)]

    @staticmethod
    def _seen(m: Module, index: int, valid: Value, code: Value | int, pc: Value) -> tuple[Value, Value, Value]:
        """A report, a cycle later."""
        late = [Signal(bits, name=f"{name}_{index}") for name, bits in (("valid", 1), ("code", 4), ("pc", PC_BITS))]
        m.d.sync += [register.eq(value) for register, value in zip(late, (valid, code, pc), strict=True)]
        return late[0], late[1], late[2]

    def _quiet(self, m: Module, dispatcher: Dispatcher, stopped: Value, finished: Signal) -> None:
        """END was reached, and nothing moves: no unit, and no engine that a halt would cut off.

        One cycle is enough: what leaves a queue is in its unit, and what leaves a unit in the next one, a cycle later.
        """
        still = Signal(len(self.idles) + 3)
        m.d.sync += still.eq(Cat(dispatcher.ended, dispatcher.empty, self.idles, stopped))
        m.d.comb += finished.eq(still.all())

    def _control(
        self, m: Module, fetch_start: Signal, watching: Signal, failed: Signal, finished: Signal, stopped: Signal
    ) -> None:
        """Reset, run, and after a fault: halt the engines, reset again, and stay halted while the bus owes answers."""
        self.halted = count = Signal(range(GIVE_UP_CYCLES))  # an attribute: tests set it ahead
        resetting, halting = Signal(), Signal()
        owing = Signal()  # an engine was busy: a cycle late, which nobody notices, since engines are never reset
        m.d.sync += owing.eq(~stopped)
        m.d.comb += halting.eq(self.halt & owing)
        m.d.sync += [self.core_reset.eq(resetting), self.halt.eq(halting), count.eq(count + 1)]
        with m.FSM(name="run"):
            with m.State("IDLE"):
                m.d.comb += [self.idle.eq(1), self.accepted.eq(self.start)]
                with m.If(self.start & halting):
                    m.d.sync += self.error_code.eq(ErrorCode.BUS)
                    m.next = "REFUSE"
                with m.Elif(self.start):
                    m.next = "RESET"
            with m.State("REFUSE"):
                m.d.comb += [self.idle.eq(1), self.done.eq(1)]
                m.next = "IDLE"
            with m.State("RESET"):
                m.d.comb += resetting.eq(1)
                m.next = "SETTLE"
                with m.If(self.misaligned):
                    m.d.sync += self.error_code.eq(ErrorCode.UNALIGNED)
                    m.next = "DONE"
            with m.State("SETTLE"):  # the core is in reset
                m.next = "START"
            with m.State("START"):
                m.d.comb += fetch_start.eq(1)
                m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += watching.eq(1)
                m.d.sync += count.eq(0)
                with m.If(failed):
                    m.next = "HALT"
                with m.Elif(finished):
                    m.next = "DONE"
            with m.State("HALT"):
                m.d.comb += halting.eq(1)
                with m.If((self.halt & ~owing) | count.all()):
                    m.next = "FLUSH"
            with m.State("FLUSH"):  # units that are not reset would go on when the halt ends
                m.d.comb += [halting.eq(1), resetting.eq(1)]
                m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"
