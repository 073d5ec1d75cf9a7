"""Longest paths through mapped netlists, module by module, in a simple delay model of UltraScale+.

The model and the rule for a clock are in docs/resources.md. A module becomes a graph of bits. A child is known by three
things only: when its outputs change after a clock edge, how long its inputs need to a register, and how long its
combinational paths from an input to an output take; so paths that cross modules count in the module that holds both
ends, and every unique module is looked at once.
"""

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from hwgen.synth.yosys import Netlist

# Picoseconds, speed grade -2, rounded up; the net is what a placed design usually sees between two levels of logic.
NET = 350
LUT = 100
CARRY_ENTRY, CARRY_STEP = 120, 15  # into a chain and out of it again; four more bits of it
MUXF = 60  # no net in front of it
CLOCK_TO_Q, SETUP = 80, 25
LUTRAM_CLOCK_TO_Q, LUTRAM_READ = 500, 150
BRAM_CLOCK_TO_Q, BRAM_REGISTER_TO_Q, BRAM_SETUP = 900, 250, 250
DSP_SETUP, DSP_CLOCK_TO_Q, DSP_COMBINATIONAL = 1400, 900, 2000  # around the product register; without it
UNCERTAINTY = 100  # jitter and skew


def limit_ps(clock_mhz: float) -> int:
    """The longest path that a clock allows."""
    return int(1_000_000 / clock_mhz) - UNCERTAINTY


def levels_allowed(clock_mhz: float) -> int:
    """How many LUTs in a row fit between two registers at that clock."""
    return (limit_ps(clock_mhz) - CLOCK_TO_Q - NET - SETUP) // (NET + LUT)


@dataclass(frozen=True)
class Reach:
    """One delay with the logic that makes it."""

    ps: int
    luts: int
    carries: int
    label: str  # register or port where it starts or ends


@dataclass(frozen=True)
class Path:
    """A path between two registers, or a port where nothing is connected yet."""

    ps: int
    luts: int
    carries: int
    start: str
    end: str


@dataclass
class Timing:
    """What the parent of a module must know, and its own longest path; ports are ``name[bit]``."""

    launch: dict[str, Reach] = field(default_factory=dict)  # output bit: clock edge to output
    capture: dict[str, Reach] = field(default_factory=dict)  # input bit: input to clock edge
    through: dict[tuple[str, str], Reach] = field(default_factory=dict)  # (input bit, output bit)
    worst: Path | None = None  # between registers of the module and of its children

    @property
    def edge(self) -> Path | None:
        """The longest path of the module with its ports registered outside: the worst of all that touches it."""
        paths = [self.worst] if self.worst else []
        paths += [Path(CLOCK_TO_Q + r.ps, r.luts, r.carries, f"port {bit}", r.label) for bit, r in self.capture.items()]
        ends = NET + SETUP
        paths += [Path(r.ps + ends, r.luts, r.carries, r.label, f"port {bit}") for bit, r in self.launch.items()]
        paths += [
            Path(CLOCK_TO_Q + r.ps + ends, r.luts, r.carries, f"port {a}", f"port {b}")
            for (a, b), r in self.through.items()
        ]
        return max(paths, key=lambda path: path.ps, default=None)


@dataclass(frozen=True)
class _Arc:
    """From one bit to another."""

    start: int
    end: int
    ps: int
    luts: int
    carries: int


class CombinationalLoopError(ValueError):
    """A path without a register that ends where it starts."""


def timing_of(netlist: Netlist, children: dict[str, Timing]) -> Timing:
    """Longest paths of one module; ValueError for an unknown cell."""
    return _Graph(netlist, children).timing()


class _Graph:
    """Bits of one module and what lies between them."""

    def __init__(self, netlist: Netlist, children: dict[str, Timing]) -> None:
        self._netlist, self._children = netlist, children
        self._names = _bit_names(netlist)
        self._arcs: list[_Arc] = []
        self._starts: dict[int, Reach] = {}
        self._ends: dict[int, Reach] = {}
        self._registered = _bits_only_registered(netlist, children)
        self._products = {bit for cell in netlist["cells"].values() for bit in self._registered_product(cell)}
        for name, cell in netlist["cells"].items():
            self._cell(name, cell)
        self._forward: dict[int, list[_Arc]] = defaultdict(list)
        self._backward: dict[int, list[_Arc]] = defaultdict(list)
        for arc in self._arcs:
            self._forward[arc.start].append(arc)
            self._backward[arc.end].append(arc)
        self._order = self._sorted()

    def _cell(self, name: str, cell: Netlist) -> None:
        kind, pins = cell["type"], cell["connections"]
        if kind in self._children:
            self._child(name, self._children[kind], pins)
        elif re.fullmatch(r"LUT[1-6]|INV", kind):
            self._all_to_all(_bits(pins, lambda pin: pin != "O"), _bits(pins, lambda pin: pin == "O"), NET + LUT, 1)
        elif kind in ("MUXF7", "MUXF8", "MUXF9"):
            self._all_to_all(_bits(pins, lambda pin: pin[0] == "I"), _bits(pins, lambda pin: pin == "O"), MUXF, 0)
            self._all_to_all(_bits(pins, lambda pin: pin == "S"), _bits(pins, lambda pin: pin == "O"), NET + MUXF, 1)
        elif kind == "CARRY4":
            self._carry(pins)
        elif kind.startswith("FD"):
            self._register(pins, {"Q"}, DSP_CLOCK_TO_Q if pins["D"][0] in self._products else CLOCK_TO_Q, SETUP)
        elif kind.startswith("RAMB"):
            buffered = _is_set(cell, "DOA_REG") or _is_set(cell, "DOB_REG")
            outputs = {pin for pin, way in cell["port_directions"].items() if way == "output"}
            self._register(pins, outputs, BRAM_REGISTER_TO_Q if buffered else BRAM_CLOCK_TO_Q, BRAM_SETUP)
        elif re.match(r"RAM\d|SRL", kind):
            self._lut_memory(cell)
        elif kind == "DSP48E2":
            self._dsp(cell)
        else:
            raise ValueError(f"no delay is known for a cell of type {kind}")

    def _all_to_all(self, starts: list[int], ends: list[int], ps: int, luts: int) -> None:
        self._arcs += [_Arc(start, end, ps, luts, 0) for start in starts for end in ends]

    def _carry(self, pins: dict[str, list[int | str]]) -> None:
        """Sum and carry of bit i depend on bits up to i; the carry from the chain below comes without a net."""
        ends = {pin: pins.get(pin, []) for pin in ("O", "CO")}
        for pin in ("CI", "CYINIT"):
            for bit in pins.get(pin, []):
                for end in (*ends["O"], *ends["CO"]):
                    if isinstance(bit, int) and isinstance(end, int):
                        self._arcs.append(_Arc(bit, end, CARRY_STEP + (NET if pin == "CYINIT" else 0), 0, 1))
        for pin in ("DI", "S"):
            for i, bit in enumerate(pins.get(pin, [])):
                for end in (*ends["O"][i:], *ends["CO"][i:]):
                    if isinstance(bit, int) and isinstance(end, int):
                        self._arcs.append(_Arc(bit, end, CARRY_ENTRY, 0, 1))

    def _register(self, pins: dict[str, list[int | str]], outputs: set[str], to_q: int, setup: int) -> None:
        for pin, bits in pins.items():
            for bit in bits:
                if not isinstance(bit, int) or _is_clock(pin):
                    continue
                if pin in outputs:
                    self._start(bit, Reach(to_q, 0, 0, self._names.get(bit, f"{pin} of a cell")))
                else:
                    owner = next((b for out in outputs for b in pins.get(out, []) if isinstance(b, int)), None)
                    where = self._names.get(owner, "memory") if owner is not None else "memory"
                    self._end(bit, Reach(NET + setup, 0, 0, f"{where} ({pin})"))

    def _lut_memory(self, cell: Netlist) -> None:
        """Written by the clock, read at once."""
        pins, ways = cell["connections"], cell["port_directions"]
        shift = cell["type"].startswith("SRL")
        written = {"D", "CE"} if shift else {pin for pin in pins if re.match(r"D(?!PRA)|WE|WADR", pin)}
        for pin, bits in pins.items():
            for bit in (bit for bit in bits if isinstance(bit, int) and not _is_clock(pin)):
                if ways[pin] == "output":
                    self._start(bit, Reach(LUTRAM_CLOCK_TO_Q, 0, 0, f"{self._names.get(bit, 'output')} (LUT memory)"))
                elif pin in written:
                    self._end(bit, Reach(NET + SETUP, 0, 0, f"LUT memory ({pin})"))
                else:
                    self._all_to_all([bit], _bits(pins, _reads(pin)), NET + LUTRAM_READ, 1)

    def _registered_product(self, cell: Netlist) -> list[int]:
        """Bits of a product that goes to flip-flops only: these are inside the DSP block."""
        if cell["type"] != "DSP48E2":
            return []
        bits = [bit for bit in cell["connections"].get("P", []) if bit in self._registered.used]
        return bits if all(bit in self._registered.only for bit in bits) else []

    def _dsp(self, cell: Netlist) -> None:
        pins = cell["connections"]
        inputs = [bit for pin in ("A", "B", "C", "D") for bit in pins.get(pin, []) if isinstance(bit, int)]
        product = self._registered_product(cell)
        if product:
            label = f"{self._names.get(self._registered.only[product[0]], 'product')} (DSP)"
            for bit in inputs:
                self._end(bit, Reach(NET + DSP_SETUP, 0, 0, label))
        else:
            outputs = [bit for bit in pins.get("P", []) if bit in self._registered.used]
            self._all_to_all(inputs, outputs, NET + DSP_COMBINATIONAL, 0)

    def _child(self, name: str, child: Timing, pins: dict[str, list[int | str]]) -> None:
        def bit_of(port: str) -> int | None:
            pin, _, index = port[:-1].rpartition("[")
            bit = pins.get(pin, [])[int(index)] if int(index) < len(pins.get(pin, [])) else None
            return bit if isinstance(bit, int) else None

        for port, reach in child.launch.items():
            if (bit := bit_of(port)) is not None:
                self._start(bit, Reach(reach.ps, reach.luts, reach.carries, f"{name}.{reach.label}"))
        for port, reach in child.capture.items():
            if (bit := bit_of(port)) is not None:
                self._end(bit, Reach(reach.ps, reach.luts, reach.carries, f"{name}.{reach.label}"))
        for (start, end), reach in child.through.items():
            first, last = bit_of(start), bit_of(end)
            if first is not None and last is not None:
                self._arcs.append(_Arc(first, last, reach.ps, reach.luts, reach.carries))

    def _start(self, bit: int, reach: Reach) -> None:
        if bit not in self._starts or self._starts[bit].ps < reach.ps:
            self._starts[bit] = reach

    def _end(self, bit: int, reach: Reach) -> None:
        if bit not in self._ends or self._ends[bit].ps < reach.ps:
            self._ends[bit] = reach

    def _sorted(self) -> list[int]:
        """Bits in an order in which every arc goes forward."""
        missing = {bit: len(arcs) for bit, arcs in self._backward.items()}
        bits = {*self._forward, *self._backward, *self._starts, *self._ends}
        ready = [bit for bit in bits if not missing.get(bit)]
        order: list[int] = []
        while ready:
            bit = ready.pop()
            order.append(bit)
            for arc in self._forward.get(bit, ()):
                missing[arc.end] -= 1
                if not missing[arc.end]:
                    ready.append(arc.end)
        if len(order) != len(bits):
            stuck = sorted({self._names[bit] for bit in bits - set(order) if bit in self._names})
            raise CombinationalLoopError(f"combinational loop through {', '.join(stuck[:8]) or 'unnamed nets'}")
        return order

    def timing(self) -> Timing:
        """Everything at once: one walk forward from registers, one back from registers, small ones from the inputs."""
        inputs, outputs = _port_bits(self._netlist, "input"), _port_bits(self._netlist, "output")
        arrival = self._arrival()
        required = self._required()
        result = Timing()
        for bit, port in outputs:
            if bit in arrival:
                result.launch[port] = arrival[bit]
        for bit, port in inputs:
            if bit in required:
                result.capture[port] = required[bit]
        result.through = self._through(inputs, outputs)
        ends = ((arrival[bit], end) for bit, end in self._ends.items() if bit in arrival)
        paths = (Path(a.ps + e.ps, a.luts + e.luts, a.carries + e.carries, a.label, e.label) for a, e in ends)
        result.worst = max(paths, key=lambda path: path.ps, default=None)
        return result

    def _arrival(self) -> dict[int, Reach]:
        """Latest time after the clock edge, for every bit that a register reaches."""
        found = dict(self._starts)
        for bit in self._order:
            best = found.get(bit)
            for arc in self._backward.get(bit, ()):
                before = found.get(arc.start)
                if before is not None and (best is None or before.ps + arc.ps > best.ps):
                    best = _added(before, arc)
            if best is not None:
                found[bit] = best
        return found

    def _required(self) -> dict[int, Reach]:
        """Longest time to the clock edge, for every bit that reaches a register."""
        found = dict(self._ends)
        for bit in reversed(self._order):
            best = found.get(bit)
            for arc in self._forward.get(bit, ()):
                after = found.get(arc.end)
                if after is not None and (best is None or after.ps + arc.ps > best.ps):
                    best = _added(after, arc)
            if best is not None:
                found[bit] = best
        return found

    def _through(self, inputs: list[tuple[int, str]], outputs: list[tuple[int, str]]) -> dict[tuple[str, str], Reach]:
        """Paths without a register from inputs to outputs."""
        rank = {bit: i for i, bit in enumerate(self._order)}
        leaving: dict[int, list[str]] = defaultdict(list)
        for bit, port in outputs:
            leaving[bit].append(port)
        useful = set(leaving)
        for bit in reversed(self._order):
            if any(arc.end in useful for arc in self._forward.get(bit, ())):
                useful.add(bit)
        found: dict[tuple[str, str], Reach] = {}
        for bit, port in inputs:
            if bit in useful:
                for end, reach in self._cone(bit, port, useful, rank).items():
                    found.update({(port, name): reach for name in leaving.get(end, ())})
        return found

    def _cone(self, bit: int, port: str, useful: set[int], rank: dict[int, int]) -> dict[int, Reach]:
        """Longest time from one input to every bit behind it."""
        reached: set[int] = {bit}
        todo = [bit]
        while todo:
            for arc in self._forward.get(todo.pop(), ()):
                if arc.end in useful and arc.end not in reached:
                    reached.add(arc.end)
                    todo.append(arc.end)
        times = {bit: Reach(0, 0, 0, port)}
        for place in sorted(reached, key=lambda item: rank.get(item, -1)):
            for arc in self._forward.get(place, ()):
                if arc.end in reached and (arc.end not in times or times[place].ps + arc.ps > times[arc.end].ps):
                    times[arc.end] = _added(times[place], arc)
        return times


@dataclass(frozen=True)
class _Registered:
    """Bits by what reads them."""

    used: set[int]  # read by anything
    only: dict[int, int]  # read by the data inputs of flip-flops and nothing else -> output of one of them


def _bits_only_registered(netlist: Netlist, children: dict[str, Timing]) -> _Registered:
    registers: dict[int, int] = {}
    others: set[int] = set()
    for cell in netlist["cells"].values():
        ways = cell.get("port_directions", {})
        for pin, bits in cell["connections"].items():
            if ways.get(pin) == "output" and cell["type"] not in children:
                continue
            data = cell["type"].startswith("FD") and pin == "D"
            for bit in bits:
                if isinstance(bit, int) and data:
                    registers[bit] = next((b for b in cell["connections"]["Q"] if isinstance(b, int)), bit)
                elif isinstance(bit, int):
                    others.add(bit)
    others |= {bit for bit, _ in _port_bits(netlist, "output")}
    return _Registered(others | set(registers), {bit: out for bit, out in registers.items() if bit not in others})


def _reads(pin: str) -> Callable[[str], bool]:
    """Which outputs of a LUT memory an address pin selects."""
    if match := re.match(r"ADDR([A-H])", pin):
        return lambda output: output.startswith(f"DO{match[1]}")
    return {
        "A": lambda output: output in ("O", "SPO", "Q"),
        "DPRA": lambda output: output == "DPO",
    }.get(re.sub(r"\d+$", "", pin), lambda output: output[0] in "OQ")


def _bits(pins: dict[str, list[int | str]], wanted: Callable[[str], bool]) -> list[int]:
    return [bit for pin, bits in pins.items() if wanted(pin) for bit in bits if isinstance(bit, int)]


def _port_bits(netlist: Netlist, direction: str) -> list[tuple[int, str]]:
    """(bit, ``name[index]``) of every port bit of one direction."""
    return [
        (bit, f"{name}[{i}]")
        for name, port in netlist["ports"].items()
        if port["direction"] == direction
        for i, bit in enumerate(port["bits"])
        if isinstance(bit, int)
    ]


def _bit_names(netlist: Netlist) -> dict[int, str]:
    """A readable name for every bit that has one: the shortest."""
    names: dict[int, str] = {}
    for name, bits in sorted(netlist["netnames"].items(), key=lambda item: -len(item[0])):
        if name.startswith(("$", "\\$")):
            continue
        for i, bit in enumerate(bits):
            if isinstance(bit, int):
                names[bit] = f"{name}[{i}]" if len(bits) > 1 else name
    return names


def _is_clock(pin: str) -> bool:
    return pin in ("C", "CLK", "WCLK") or pin.startswith("CLK")


def _is_set(cell: Netlist, parameter: str) -> bool:
    value = cell["parameters"].get(parameter, "0")
    return (value if isinstance(value, int) else int(value, 2)) != 0


def _added(reach: Reach, arc: _Arc) -> Reach:
    return Reach(reach.ps + arc.ps, reach.luts + arc.luts, reach.carries + arc.carries, reach.label)
