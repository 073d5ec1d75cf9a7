"""AXI slaves and stream ends for the simulator: random stalls on every channel, and checks of the protocol."""

import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hwgen.rtl.axi.bus import PAGE_BEATS

REQUEST_FIELDS = ("addr", "len", "size", "burst", "cache", "prot")


def ddr_beat(address: int) -> int:
    """What a read of the beat at byte ``address`` gives when nothing was written: every beat differs."""
    return random.Random(address).getrandbits(128)


@dataclass
class Stalls:
    """A seeded coin per cycle; ``busy`` is the probability of a stall."""

    busy: float
    seed: int = 1
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def __call__(self) -> bool:
        return self._random.random() < self.busy


@dataclass
class Burst:
    """One accepted request."""

    address: int
    beats: int

    def __post_init__(self) -> None:
        assert self.address % 16 == 0, f"burst at {self.address:#x} is not aligned"
        assert self.address // 16 % PAGE_BEATS + self.beats <= PAGE_BEATS, (
            f"burst {self.address:#x} + {self.beats} crosses 4 KB"
        )

    def addresses(self) -> Iterator[int]:
        """Byte address of every beat."""
        return (self.address + 16 * i for i in range(self.beats))


class Stability:
    """Asserts that a channel keeps valid and payload until ready."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.waiting: tuple[int, ...] | None = None
        self.transfers = 0

    def check(self, valid: int, ready: int, payload: tuple[int, ...]) -> bool:
        """One cycle; whether a transfer happened."""
        if self.waiting is not None:
            assert valid, f"{self.name}: valid fell before ready"
            assert payload == self.waiting, f"{self.name}: payload changed while it waited"
        self.waiting = payload if valid and not ready else None
        self.transfers += bool(valid and ready)
        return bool(valid and ready)


def request_signals(bus: object, letter: str) -> list:
    """Signals of a request channel for ``sample``: valid, ready, then the payload."""
    return [getattr(bus, f"a{letter}{name}") for name in ("valid", "ready", *REQUEST_FIELDS)]


def checked_burst(payload: tuple[int, ...], limit: int) -> Burst:
    """The burst of a request, its constants checked."""
    address, length, size, kind, _, _ = payload
    assert size == 4, "beats are 16 bytes"
    assert kind == 1, "bursts increment"
    assert length + 1 <= limit, f"burst of {length + 1} beats, limit {limit}"
    return Burst(address, length + 1)


class ReadSlave:
    """A memory behind axi4_read: ``bursts`` it served, ``latency`` cycles from request to first beat."""

    def __init__(
        self,
        bus: object,
        stall: float = 0.0,
        seed: int = 1,
        latency: int = 0,
        read: Callable[[int], int] = ddr_beat,
        bad: Callable[[int], bool] = lambda address: False,
        burst_limit: int = 64,
        outstanding: int = 16,
    ) -> None:
        self.bus, self.read, self.bad, self.latency = bus, read, bad, latency
        self.burst_limit, self.outstanding = burst_limit, outstanding
        self.stalls = Stalls(stall, seed)
        self.bursts: list[Burst] = []
        self.last: Callable[[int, bool], bool] = lambda address, last: last  # what RLAST says of a beat
        self.queue: deque[tuple[int, int, bool]] = deque()  # beats to come: cycle, address, last one of its burst
        self.beats_served = 0
        self.most_in_flight = 0

    async def process(self, ctx) -> None:
        """Simulator process (``sim.add_process``)."""
        bus, cycle = self.bus, 0
        requests = Stability("AR")
        signals = request_signals(bus, "r")
        async for _, _, valid, ready, *rest in ctx.tick().sample(*signals, bus.rvalid, bus.rready):
            *payload, rvalid, rready = rest
            cycle, queue = cycle + 1, self.queue
            if requests.check(valid, ready, tuple(payload)):
                burst = checked_burst(tuple(payload), self.burst_limit)
                self.bursts.append(burst)
                beats = list(burst.addresses())
                queue.extend((cycle + self.latency, a, a == beats[-1]) for a in beats)
            if rvalid and rready:
                queue.popleft()
                self.beats_served += 1
            in_flight = sum(last for _, _, last in queue)
            self.most_in_flight = max(self.most_in_flight, in_flight)
            assert in_flight <= self.outstanding, f"{in_flight} bursts in flight, limit {self.outstanding}"
            self._present(ctx, queue, cycle, bool(rvalid and not rready))
            ctx.set(bus.arready, not self.stalls())

    def _present(self, ctx, queue: deque, cycle: int, waiting: bool) -> None:
        if waiting:
            return
        show = bool(queue) and queue[0][0] <= cycle and not self.stalls()
        ctx.set(self.bus.rvalid, show)
        if show:
            _, address, last = queue[0]
            ctx.set(self.bus.rdata, self.read(address))
            ctx.set(self.bus.rresp, 2 if self.bad(address) else 0)
            ctx.set(self.bus.rlast, self.last(address, last))


class WriteSlave:
    """A memory behind axi4_write: ``data`` by byte address of the beat, as (value, strobes)."""

    def __init__(
        self,
        bus: object,
        stall: float = 0.0,
        seed: int = 1,
        bad: Callable[[int], bool] = lambda address: False,
        burst_limit: int = 64,
        response_latency: int = 0,
    ) -> None:
        self.bus, self.bad, self.burst_limit, self.latency = bus, bad, burst_limit, response_latency
        self.stalls = Stalls(stall, seed)
        self.deaf: set[str] = set()  # channels of "aw" and "w" that are not taken
        self.bursts: list[Burst] = []
        self.answers: deque[tuple[int, bool]] = deque()  # responses to come: cycle, error
        self.data: dict[int, tuple[int, int]] = {}
        self.beats: list[tuple[int, int, int]] = []
        self.responses = 0

    async def process(self, ctx) -> None:
        """Simulator process (``sim.add_process``)."""
        bus, cycle, ended, answers = self.bus, 0, 0, self.answers
        requests, data = Stability("AW"), Stability("W")
        request = request_signals(bus, "w")
        beat = [bus.wvalid, bus.wready, bus.wdata, bus.wstrb, bus.wlast]
        async for _, _, *values in ctx.tick().sample(*request, *beat, bus.bvalid, bus.bready):
            cycle += 1
            (valid, ready, *payload), (wvalid, wready, *word), (bvalid, bready) = (
                values[:8],
                values[8:13],
                values[13:],
            )
            if requests.check(valid, ready, tuple(payload)):
                self.bursts.append(checked_burst(tuple(payload), self.burst_limit))
            if data.check(wvalid, wready, tuple(word)):
                self.beats.append(tuple(word))
            if bvalid and bready:
                answers.popleft()
                self.responses += 1
            if ended < len(self.bursts) and self._whole(ended):
                answers.append((cycle + self.latency, self.bad(self.bursts[ended].address)))
                ended += 1
            if not (bvalid and not bready):
                show = bool(answers) and answers[0][0] <= cycle and not self.stalls()
                ctx.set(bus.bvalid, show)
                ctx.set(bus.bresp, 2 if show and answers[0][1] else 0)
            ctx.set(bus.awready, not self.stalls() and "aw" not in self.deaf)
            ctx.set(bus.wready, not self.stalls() and "w" not in self.deaf)

    def _whole(self, index: int) -> bool:
        """Store burst ``index`` once all its beats are here; the last flag must be right."""
        first = sum(burst.beats for burst in self.bursts[:index])
        burst = self.bursts[index]
        beats = self.beats[first : first + burst.beats]
        if len(beats) < burst.beats:
            return False
        for i, (address, (value, strobes, last)) in enumerate(zip(burst.addresses(), beats, strict=True)):
            assert last == (i == burst.beats - 1), f"wrong last flag at beat {i} of {burst}"
            self.data[address] = (value, strobes)
        return True


class StreamSource:
    """Drives a valid/ready stream with ``items``, stalling at random; the payload may be a dict for a structure."""

    def __init__(self, port: object, items: list, stall: float = 0.0, seed: int = 1) -> None:
        self.port, self.items, self.stalls, self.sent = port, deque(items), Stalls(stall, seed), 0
        self.sent_cycles: list[int] = []

    async def process(self, ctx) -> None:
        """Simulator process."""
        port, cycle = self.port, 0
        async for _, _, valid, ready in ctx.tick().sample(port.valid, port.ready):
            cycle += 1
            if valid and ready:
                self.items.popleft()
                self.sent += 1
                self.sent_cycles.append(cycle)
            if not valid or ready:
                show = bool(self.items) and not self.stalls()
                ctx.set(port.valid, show)
                if show:
                    ctx.set(port.payload, self.items[0])


class StreamSink:
    """Takes everything from a stream, stalling at random, and checks that the payload is stable."""

    def __init__(self, port: object, stall: float = 0.0, seed: int = 1) -> None:
        self.port, self.stalls = port, Stalls(stall, seed)
        self.items: list[int] = []
        self.cycles: list[int] = []

    async def process(self, ctx) -> None:
        """Simulator process."""
        port, monitor, cycle = self.port, Stability("stream"), 0
        async for _, _, valid, ready, payload in ctx.tick().sample(port.valid, port.ready, port.payload):
            cycle += 1
            if monitor.check(valid, ready, (payload,)):
                self.items.append(payload)
                self.cycles.append(cycle)
            ctx.set(port.ready, not self.stalls())


class PulseLog:
    """Samples ``signals`` in every cycle in which ``valid`` is high: (cycle, values...)."""

    def __init__(self, valid: object, *signals: object) -> None:
        self.valid, self.signals = valid, signals
        self.entries: list[tuple[int, ...]] = []

    async def process(self, ctx) -> None:
        """Simulator process."""
        cycle = 0
        async for _, _, valid, *values in ctx.tick().sample(self.valid, *self.signals):
            cycle += 1
            if valid:
                self.entries.append((cycle, *values))


async def wait_until(ctx, condition: Callable[[], object], limit: int = 20000) -> int:
    """Cycles until ``condition()``; fails after ``limit``."""
    for cycle in range(limit):
        if condition():
            return cycle
        await ctx.tick()
    raise AssertionError(f"nothing happened in {limit} cycles")
