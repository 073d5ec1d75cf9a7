"""Bench of the post-processor: random tiles, memories behind its read ports, events as golden expects them."""

from dataclasses import dataclass, field

import numpy as np
from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib.memory import Memory
from amaranth.sim import Simulator

from golden.gelu import hidden
from golden.linear import add_residual, add_scored
from golden.rounding import requant, sat8, sat10, sat16
from hwgen.rtl.memory.activation_buffers import RowBuffer
from hwgen.rtl.post.post_processor import PostProcessor
from hwgen.rtl.post.row_address import destination_words
from hwgen.spec.isa import Counter, Destination, ErrorCode
from hwgen.spec.layout import param_entries
from hwgen.spec.tables import default_tables
from tests.rtl.arches import with_cycle
from tests.rtl.table_load import load_tables

PARAMS = 16  # entries of the parameter ring in this bench
ZEROS = (-127, -1, 0, 1, 127, -90)  # zero points
NARROW = (Destination.QUERY, Destination.KEY, Destination.VALUE, Destination.CONTEXT)


@dataclass
class Tile:
    """One accumulator tile: fields of its tag, fields of each lane's tag, sums [Pt, Po]."""

    tag: dict[str, int]
    lanes: list[dict[str, int]]
    sums: np.ndarray
    gap: int  # cycles to the next tile


@dataclass
class World:
    """Contents of the memories around the post-processor."""

    bias: np.ndarray  # [PARAMS, Po]
    mult: np.ndarray
    shift: np.ndarray
    factor_mult: np.ndarray  # [2 * max_tokens]
    factor_shift: np.ndarray
    residual: dict[int, np.ndarray] = field(default_factory=dict)  # address -> word


def random_world(rng, arch) -> World:
    """Parameter entries alternate between large factors and ones that make halves (mult 1, shift 1 or 2)."""
    shape = (PARAMS, arch.output_lanes)
    bias, mult = rng.integers(-(1 << 16), 1 << 16, shape), rng.integers(1 << 14, 1 << 16, shape)
    shift = rng.integers(16, 33, shape)
    bias[::2], mult[::2], shift[::2] = rng.integers(-3, 4, shape)[::2], 1, rng.integers(0, 3, shape)[::2]
    factors = 2 * arch.max_tokens
    factor_mult, factor_shift = rng.integers(1, 1 << 16, factors), rng.integers(16, 48, factors)
    residual = {a: rng.integers(-32768, 32768, arch.output_lanes) for a in range(arch.residual_words)}
    return World(bias, mult, shift, factor_mult, factor_shift, residual)


def random_tile(rng, arch, destination: Destination, n: int) -> Tile:
    """A tile whose rows mostly fit the buffers; every fifth has saturating sums, every other one tiny sums."""
    scale = (1 << 30) if n % 5 == 4 else (1 << 20) if n % 2 else 40
    sums = rng.integers(-scale, scale, (arch.token_lanes, arch.output_lanes))
    first_row = int(rng.integers(0, arch.max_tokens - arch.token_lanes))
    stride = 1 if destination in (Destination.RESIDUAL, Destination.EXPERT) else int(rng.integers(1, 3))
    tag = {
        "pc": int(rng.integers(1 << 16)),
        "destination": int(destination),
        "counter": int(rng.integers(1, 12)) if destination != Destination.EXPERT and rng.random() < 0.8 else 0,
        "finish": int(destination == Destination.EXPERT and rng.random() < 0.5),
        "finish_count": int(rng.integers(1, 1 << 12)),
        "out_tile": int(rng.integers(0, 3)),
        "first_tile": int(rng.integers(2)),
        "last_tile": int(rng.integers(2)),
        "param": 2 * int(rng.integers(PARAMS // 2)) + n % 2,
        "param_release": int(rng.integers(2)),
        "dst_base": int(rng.integers(0, 4)),
        "dst_stride": stride,
        "mult": int(rng.integers(1, 1 << 16)) if n % 2 else 1,
        "shift": int(rng.integers(18, 30)) if n % 2 else int(rng.integers(0, 3)),
        "bias": int(rng.integers(-(1 << 30), 1 << 30)) if n % 3 == 2 else int(rng.integers(-3, 4)),
        "mult2": int(rng.integers(1 << 14, 1 << 16)),
        "shift2": int(rng.integers(18, 26)),
        "zero": int(rng.choice(ZEROS)),  # of every destination: HIDDEN alone adds it
        "slot": int(rng.integers(2)),
        "keys": int(rng.integers(1, 5 * arch.output_lanes)),
        "experts": int(rng.integers(1, 9)),
        "top_k": int(rng.integers(1, 9)),
        "renormalise": int(rng.integers(2)),
    }
    if destination in (Destination.RESIDUAL, Destination.EXPERT):
        tag["dst_base"], tag["out_tile"] = 0, 0
        first_row = n * arch.token_lanes % (arch.residual_words - arch.token_lanes + 1)
    lanes = [
        {
            "valid": int(rng.random() < 0.8),
            "row": first_row + lane,
            "score": int(rng.choice([0, 1, 32768, int(rng.integers(1 << 15))])),
            "key_tile": int(rng.integers(0, 5)),
            "first_key": int(rng.integers(2)),
            "last_key": int(rng.integers(2)),
        }
        for lane in range(arch.token_lanes)
    ]
    return Tile(tag, lanes, sums, arch.token_lanes + int(rng.choice([0, 0, 1, 2, 7, 40])))


def finished(arch, world: World, tile: Tile, lane: int, address: int) -> np.ndarray:
    """The row's values by golden functions; updates the residual."""
    tag, row, acc = tile.tag, tile.lanes[lane], tile.sums[lane]
    destination, param = Destination(tag["destination"]), tag["param"]
    if destination == Destination.SCORE:
        exists = row["key_tile"] * arch.output_lanes + np.arange(arch.output_lanes) < tag["keys"]
        return np.where(exists, sat10(requant(acc, tag["bias"], tag["mult"], tag["shift"])), 0)
    if destination == Destination.CONTEXT:
        place = tag["slot"] * arch.max_tokens + row["row"]
        return sat8(requant(acc, 0, world.factor_mult[place], world.factor_shift[place]))
    value = requant(acc, world.bias[param], world.mult[param], world.shift[param])
    if destination in NARROW:
        return sat8(value)
    if destination == Destination.HIDDEN:
        return hidden(default_tables()["gelu"], sat16(value), tag["mult2"], tag["shift2"], tag["zero"])
    if destination == Destination.RESIDUAL:
        world.residual[address] = add_residual(world.residual[address], value)
    elif destination == Destination.EXPERT:
        world.residual[address] = add_scored(world.residual[address][None], value[None], [row["score"]])[0]
    else:
        return sat16(value)
    return world.residual[address]


def expected_row(arch, world: World, tile: Tile, lane: int) -> list[tuple]:
    """Events of one valid row: (kind, *values)."""
    tag, row = tile.tag, tile.lanes[lane]
    destination = Destination(tag["destination"])
    banks = {Destination.KEY: arch.output_lanes, Destination.VALUE: arch.input_lanes}.get(destination, 1)
    word = row["key_tile"] if destination == Destination.SCORE else tag["out_tile"]
    address = tag["dst_base"] + row["row"] // banks * tag["dst_stride"] + word
    limited = destination in (Destination.SCORE, Destination.CONTEXT) and row["row"] >= arch.max_tokens
    if limited or address >= destination_words(arch).get(destination, 1 << 30):
        return [("fault", int(ErrorCode.OUT_OF_BOUNDS), tag["pc"])]
    values = tuple(finished(arch, world, tile, lane, address).tolist())
    events: list[tuple] = [("trace", tag["pc"], int(destination), row["row"], word, values)]
    if destination in (Destination.RESIDUAL, Destination.EXPERT):
        events.append(("residual_write", address, values))
    elif destination in (Destination.QUERY, Destination.HIDDEN, Destination.CONTEXT):
        events.append(("activation", address, values))
    elif banks > 1:
        events.append((destination.name.lower(), row["row"] % banks, address, values))
    elif destination == Destination.SCORE:
        mask = sum((word * arch.output_lanes + o < tag["keys"]) << o for o in range(arch.output_lanes))
        facts = [tag[name] for name in ("slot", "mult2", "shift2")] + [row["first_key"], row["last_key"]]
        events += [("score_write", address, values), ("scores", lane, row["row"], *facts, mask, values)]
    elif destination == Destination.GATE:
        names = ("pc", "out_tile", "first_tile", "last_tile", "experts", "top_k", "renormalise")
        events.append(("gate", lane, row["row"], *(tag[name] for name in names), values))
    else:
        events.append(("result", values))
    counted = destination not in (Destination.SCORE, Destination.GATE) and tag["counter"] and tag["last_tile"]
    return events + ([("progress", tag["counter"], 1)] if counted else [])


def expected_events(arch, world: World, tiles: list[Tile], starts: list[int], latency: int) -> list[tuple]:
    """(cycle, kind, *values) of every tile whose sums were valid in cycle ``starts[n]``."""
    events: list[tuple] = []
    for tile, start in zip(tiles, starts, strict=True):
        for lane, row in enumerate(tile.lanes):
            if row["valid"]:
                events += [(start + latency + lane, *event) for event in expected_row(arch, world, tile, lane)]
        end = start + len(tile.lanes)
        if tile.tag["param_release"]:
            events.append((end, "param_release"))
        if tile.tag["finish"]:
            events.append((end - 1 + latency, "progress", int(Counter.RESIDUAL), tile.tag["finish_count"]))
    return events


def memory_behind(m: Module, name: str, port, words: list[int]) -> None:
    """A filled memory with the machine's read latency behind a read port."""
    width = len(port.data)
    memory = Memory(shape=unsigned(width), depth=len(words), init=words)
    m.submodules[name] = memory
    read, output = memory.read_port(), Signal(width)
    m.d.comb += [read.addr.eq(port.address), port.data.eq(output)]
    m.d.sync += output.eq(read.data)


def bits_of(values, bits: int) -> int:
    """Values side by side, first one lowest."""
    return sum((int(v) & (1 << bits) - 1) << bits * n for n, v in enumerate(values))


def lanes_of(value: int, bits: int, lanes: int) -> tuple[int, ...]:
    """Signed values of a word."""
    raw = [value >> bits * n & (1 << bits) - 1 for n in range(lanes)]
    return tuple(v - (1 << bits) if v >> bits - 1 else v for v in raw)


class PostBench:
    """Runs tiles through a post-processor; ``events``, ``starts`` and ``busy`` hold what happened, by cycle."""

    def __init__(self, arch, world: World, tiles: list[Tile]) -> None:
        self.arch, self.world, self.tiles = arch, world, tiles
        self.dut = PostProcessor(arch)
        self.starts: list[int] = []
        self.events: list[tuple] = []
        self.busy: set[int] = set()
        self.wanted: list[int] = []  # cycles in which the one copy of the residual is asked for
        self._done = False

    def run(self) -> None:
        """Simulate until the last tile has left."""
        module, self.cycle = with_cycle(self.dut)
        world, lanes = self.world, self.arch.output_lanes
        entries = [param_entries(world.bias[n], world.mult[n], world.shift[n], self.arch) for n in range(PARAMS)]
        memory_behind(module, "params", self.dut.param, [int.from_bytes(e.tobytes(), "little") for e in entries])
        factors = zip(world.factor_mult.tolist(), world.factor_shift.tolist(), strict=True)
        memory_behind(module, "factors", self.dut.factor, [mult << 5 | shift << 21 for mult, shift in factors])
        module.submodules.residual = self.residual = RowBuffer(self.arch.residual_words, 16 * lanes)
        self.filling = Signal()
        write, dut_write = self.residual.write, self.dut.residual_write
        self.fill_address, self.fill_data = Signal(16), Signal(16 * lanes)
        if self.arch.residual_copies == 1:  # the address counts only when the copy is asked for
            wanted = self.dut.residual_wanted
            module.d.comb += self.residual.read[0].address.eq(Mux(wanted, self.dut.residual_read.address, 0))
        else:
            module.d.comb += self.residual.read[0].address.eq(self.dut.residual_read.address)
        module.d.comb += [
            self.dut.residual_read.data.eq(self.residual.read[0].data),
            write.enable.eq(self.filling | dut_write.enable),
            write.address.eq(dut_write.address),
            write.data.eq(dut_write.data),
        ]
        with module.If(self.filling):
            module.d.comb += [write.address.eq(self.fill_address), write.data.eq(self.fill_data)]
        simulator = Simulator(module)
        simulator.add_clock(1e-6)
        simulator.add_testbench(self._drive)
        simulator.add_testbench(self._watch, background=True)
        simulator.run()

    async def _drive(self, ctx) -> None:
        ctx.set(self.filling, 1)
        for address, word in self.world.residual.items():
            ctx.set(self.fill_address, address)
            ctx.set(self.fill_data, bits_of(word, 16))
            await ctx.tick()
        ctx.set(self.filling, 0)
        await load_tables(ctx, self.dut.table, ("gelu",))
        for tile in self.tiles:
            self.starts.append(ctx.get(self.cycle))
            ctx.set(self.dut.sums.as_value(), bits_of(tile.sums.ravel(), 32))
            for name, value in tile.tag.items():
                ctx.set(self.dut.tag[name], value)
            for lane, tags in enumerate(tile.lanes):
                for name, value in tags.items():
                    ctx.set(self.dut.tag.lanes[lane][name], value)
            ctx.set(self.dut.sums_valid, 1)
            await ctx.tick()
            ctx.set(self.dut.sums_valid, 0)
            ctx.set(self.dut.sums.as_value(), 0)
            ctx.set(self.dut.tag.as_value(), 0)
            if tile.gap > 1:
                await ctx.tick().repeat(tile.gap - 1)
        await ctx.tick().repeat(self.dut.latency + self.arch.token_lanes + 5)

    async def _watch(self, ctx) -> None:
        while True:
            now = ctx.get(self.cycle)
            if ctx.get(self.dut.busy):
                self.busy.add(now)
            if self.arch.residual_copies == 1 and ctx.get(self.dut.residual_wanted):
                self.wanted.append(now)
            if ctx.get(self.dut.param_release):
                self.events.append((now, "param_release"))
            for kind in ("trace", "scores", "gate", "result", "progress", "fault"):
                if ctx.get(getattr(self.dut, kind).valid):
                    self.events.append((now, kind, *getattr(self, f"_{kind}")(ctx, getattr(self.dut, kind))))
            for kind in ("residual_write", "activation", "key", "value", "score_write"):
                port = getattr(self.dut, kind)
                if ctx.get(port.enable) and not ctx.get(self.filling):
                    bits = {"residual_write": 16, "score_write": 10}.get(kind, 8)
                    bank = (ctx.get(port.bank),) if kind in ("key", "value") else ()
                    values = lanes_of(ctx.get(port.data), bits, self.arch.output_lanes)
                    self.events.append((now, kind, *bank, ctx.get(port.address), values))
            await ctx.tick()

    def _trace(self, ctx, port):
        values = lanes_of(ctx.get(port.data), 16, self.arch.output_lanes)
        return (*(ctx.get(getattr(port, name)) for name in ("pc", "destination", "row", "word")), values)

    def _scores(self, ctx, port):
        names = ("lane", "row", "slot", "mult2", "shift2", "first_key", "last_key", "mask")
        values = tuple(ctx.get(port.scores[o]) for o in range(self.arch.output_lanes))
        return (*(ctx.get(getattr(port, name)) for name in names), values)

    def _gate(self, ctx, port):
        names = ("lane", "row", "pc", "tile", "first_tile", "last_tile", "experts", "top_k", "renormalise")
        values = tuple(ctx.get(port.logits[o]) for o in range(self.arch.output_lanes))
        return (*(ctx.get(getattr(port, name)) for name in names), values)

    def _result(self, ctx, port):
        return (lanes_of(ctx.get(port.data), 16, self.arch.output_lanes),)

    def _progress(self, ctx, port):
        return ctx.get(port.counter), ctx.get(port.count)

    def _fault(self, ctx, port):
        return ctx.get(port.code), ctx.get(port.pc)
