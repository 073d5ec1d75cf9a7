"""Control registers: AXI4-Lite slave of ``hwgen.spec.registers``, with the ap_ctrl_hs handshake and one interrupt."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member, Out

from hwgen.rtl.axi.bus import axi4_lite
from hwgen.spec.registers import BY_NAME, REGISTER_ADDRESS_BITS, REGISTERS, Register

INTERNAL = ("AP_CTRL", "GIE", "IER", "ISR")


def member_name(register: Register) -> str:
    """Name of the port that carries ``register``."""
    return register.name.lower()


def host_registers(access: str) -> tuple[Register, ...]:
    """Registers with this access that show as ports."""
    return tuple(item for item in REGISTERS if item.access == access and item.name not in INTERNAL)


@dataclass(frozen=True)
class _Write:
    """A write of 32 bits: ``strobe`` in the cycle in which it takes effect; ``lanes`` are its byte strobes."""

    strobe: Signal
    word: Signal
    data: Signal
    lanes: Signal


def _words(register: Register, bits: Value) -> list[tuple[int, Value]]:
    """(word address, its bits) of a register of one or two words."""
    first = register.offset >> 2
    return [(first + part, bits[32 * part : 32 * part + 32]) for part in range(register.bits // 32)]


class ControlRegisters(wiring.Component):
    """What the host sees.

    Members
    -------
    bus: In(axi4_lite), 32-bit words; byte strobes count; unmapped addresses read zero and ignore writes, response OKAY.
    start: Out(1), high from the host's write until ``accepted``. accepted: In(1), pulse, the run begins.
    done: In(1), pulse, the run ended. idle: In(1), no run.
    interrupt: Out(1), level: GIE and IER and ISR.
    program, model, image, result, result_bytes: Out, rw registers as they were when the run was accepted, from the
        cycle after ``accepted``; watchdog: Out, as it is.
    misaligned: Out(1), one of these is not a multiple of what it must be a multiple of.
    error_code ... wait_idle: In, one port per ro register, by its lower-case name.

    AP_CTRL: start clears when accepted; done and ready are set at the end and clear on read; idle is live. A write of
    one to start during a run, or in the cycle in which it is accepted, is kept and starts the next. ISR is set at done
    when IER is set, whatever is written in that cycle; writing one toggles it.

    Timing: ``write_latency`` = 2 cycles from a write (both channels in one cycle) to its effect; ``read_latency`` = 1
    from the address to the data. Outputs are registers, or depend on registers only.
    """

    write_latency = 2
    read_latency = 1

    def __init__(self) -> None:
        members: dict[str, Member] = {
            "bus": In(axi4_lite(REGISTER_ADDRESS_BITS)),
            "start": Out(1),
            "accepted": In(1),
            "done": In(1),
            "idle": In(1),
            "interrupt": Out(1),
            "misaligned": Out(1),
        }
        members |= {member_name(item): Out(item.bits) for item in host_registers("rw")}
        members |= {member_name(item): In(item.bits) for item in host_registers("ro")}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """Two bus channels, the plain registers, and the handshake."""
        m = Module()
        write = _Write(Signal(), Signal(REGISTER_ADDRESS_BITS - 2), Signal(32), Signal(4))
        self._write_channel(m, write)
        read = Signal()  # an address is taken in this cycle
        value = Signal(32)  # what it reads
        self._read_channel(m, read, value)
        enables = {"GIE": Signal(), "IER": Signal()}
        status = self._handshake(m, write, read, enables)
        self._plain_registers(m, write, value, enables, status)
        return m

    def _write_channel(self, m: Module, write: _Write) -> None:
        bus = self.bus
        addressed, filled = Signal(), Signal()
        m.d.comb += [
            bus.awready.eq(~addressed),
            bus.wready.eq(~filled),
            write.strobe.eq(addressed & filled & (~bus.bvalid | bus.bready)),
        ]
        with m.If(bus.awvalid & bus.awready):
            m.d.sync += [addressed.eq(1), write.word.eq(bus.awaddr >> 2)]
        with m.If(bus.wvalid & bus.wready):
            m.d.sync += [filled.eq(1), write.data.eq(bus.wdata), write.lanes.eq(bus.wstrb)]
        with m.If(bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        with m.If(write.strobe):
            m.d.sync += [addressed.eq(0), filled.eq(0), bus.bvalid.eq(1)]

    def _read_channel(self, m: Module, read: Signal, value: Signal) -> None:
        bus = self.bus
        m.d.comb += [bus.arready.eq(~bus.rvalid), read.eq(bus.arvalid & bus.arready)]
        with m.If(bus.rready):
            m.d.sync += bus.rvalid.eq(0)
        with m.If(read):
            m.d.sync += [bus.rvalid.eq(1), bus.rdata.eq(value)]

    def _handshake(self, m: Module, write: _Write, read: Signal, enables: dict[str, Signal]) -> dict[str, Value]:
        """AP_CTRL and ISR; what they read as."""
        done, ready, pending = Signal(), Signal(), Signal()
        written = {name: Signal(name=f"write_{name.lower()}") for name in ("AP_CTRL", "ISR")}
        for name, strobe in written.items():
            here = write.word == BY_NAME[name].offset >> 2
            m.d.comb += strobe.eq(write.strobe & here & write.lanes[0] & write.data[0])
        with m.If(self.accepted):
            m.d.sync += self.start.eq(0)
        with m.If(written["AP_CTRL"]):
            m.d.sync += self.start.eq(1)
        with m.If(read & (self.bus.araddr >> 2 == BY_NAME["AP_CTRL"].offset >> 2)):
            m.d.sync += [done.eq(0), ready.eq(0)]
        with m.If(written["ISR"]):
            m.d.sync += pending.eq(~pending)
        with m.If(self.done):
            m.d.sync += [done.eq(1), ready.eq(1)]
            with m.If(enables["IER"]):
                m.d.sync += pending.eq(1)
        m.d.comb += self.interrupt.eq(enables["GIE"] & enables["IER"] & pending)
        return {"AP_CTRL": Cat(self.start, done, self.idle, ready), "ISR": pending}

    def _stored(self, m: Module, item: Register) -> Signal:
        """Where the host writes ``item``; a run has its own copy when it uses the value of its start."""
        port = getattr(self, member_name(item))
        if not item.at_start:
            return port
        stored = Signal(item.bits, name=f"stored_{member_name(item)}")
        with m.If(self.accepted):
            m.d.sync += port.eq(stored)
        return stored

    def _plain_registers(
        self, m: Module, write: _Write, value: Signal, enables: dict[str, Signal], status: dict[str, Value]
    ) -> None:
        """Storage of the writable registers, and the read multiplexer over everything."""
        targets = {item: self._stored(m, item) for item in host_registers("rw")}
        targets |= {BY_NAME[name]: signal for name, signal in enables.items()}
        sources = targets | {item: getattr(self, member_name(item)) for item in host_registers("ro")}
        sources |= {BY_NAME[name]: bits for name, bits in status.items()}
        low_bits = [
            getattr(self, member_name(item))[: item.multiple_of.bit_length() - 1] for item in host_registers("rw")
        ]
        m.d.comb += self.misaligned.eq(Cat(*low_bits).any())
        mask = Cat(lane.replicate(8) for lane in write.lanes)
        with m.If(write.strobe), m.Switch(write.word):
            for item, target in targets.items():
                for word, half in _words(item, target):
                    with m.Case(word):
                        m.d.sync += half.eq((half & ~mask) | (write.data & mask))
        with m.Switch(self.bus.araddr >> 2):
            for item, source in sources.items():
                for word, half in _words(item, source):
                    with m.Case(word):
                        m.d.comb += value.eq(half)
