"""The memory model of the estimate: rate, latency and refresh, by hand."""

import pytest

from hwgen.compiler.dma_model import IO_PORT, SAVED_BYTES, WEIGHT_PORTS, Ddr, ReadEngine, WeightLoader, last_beats
from hwgen.compiler.events import Process
from hwgen.compiler.machine_model import Instruction, Machine
from hwgen.compiler.step import Step
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.board import Board, board
from hwgen.spec.isa import Opcode, Unit


def without_refresh(rate_bytes: float = 16.0) -> Board:
    """A board at 100 MHz with ``rate_bytes`` a cycle."""
    small = board("sim")
    peak = rate_bytes / 10 / small.ddr.efficiency
    return small.model_copy(update={"ddr": small.ddr.model_copy(update={"peak_gb_per_s": peak, "refresh_cycles": 0})})


def test_a_port_moves_one_beat_a_cycle():
    ddr = Ddr(without_refresh(1000.0))
    assert ddr.serve(IO_PORT, 100, 16) == (100, 116)
    assert ddr.serve(IO_PORT, 101, 16) == (116, 132)
    assert ddr.serve(WEIGHT_PORTS, 101, 16, ports=4) == (101, 117)  # another port does not wait
    assert ddr.serve(IO_PORT, 200, 8, pace=2) == (200, 216)


def test_all_ports_share_the_rate():
    """What was saved up while nothing moved goes first."""
    ddr, begin, end = Ddr(without_refresh(32.0)), 10_000, 0
    for _ in range(200):
        _, end = ddr.serve(WEIGHT_PORTS, begin, 16, ports=4)
    moved = 200 * 16 * 4 * 16
    assert end == pytest.approx(begin + (moved - SAVED_BYTES) / 32.0, abs=2)
    start, end = ddr.serve(IO_PORT, begin, 16)
    assert (start, end) == (begin, pytest.approx(begin + (moved - SAVED_BYTES + 256) / 32.0, abs=2))


def test_refresh_stops_everything():
    """sim: 35 of 780 cycles; the first gap begins at cycle 745."""
    ddr = Ddr(board("sim"))
    assert ddr.serve(IO_PORT, 729, 16) == (729, 745)
    assert ddr.serve(IO_PORT, 729, 16) == (780, 796)
    assert ddr.serve(IO_PORT, 800, 730) == (800, 800 + 730 + 35)
    assert ddr.serve(IO_PORT, 2000, 2000)[1] == pytest.approx(2000 + 2000 * 780 / 745, abs=40)


def test_bursts_of_a_transfer():
    """The latency, then as fast as bursts in flight allow."""
    quick = without_refresh()
    machine = Machine(ARCHS["sim"], quick, [])
    engine, found = ReadEngine(machine, Ddr(quick)), list[tuple[int, int]]()

    def process() -> Process:
        found.extend((yield from engine.read(10, 100)))

    machine.clock.at(0, process())
    machine.clock.run()
    assert found[0] == (10 + 2 + 1 + 100, 10 + 2 + 1 + 100 + 16)
    assert found[1][0] == found[0][1]
    assert found[4][0] == found[0][1] + 2 + 100  # four in flight
    assert sum(end - start for start, end in found) == 100
    ends = last_beats(found, 16, 25, 100)
    assert len(ends) == 4
    assert ends[0] == found[1][0] + 8  # beat 24 is the ninth of the second burst
    assert ends[-1] == found[-1][1] - 1


def loaded(arch_name: str, words: int) -> tuple[list[int], int]:
    """When ``words`` weight tiles of one load have arrived, and when its planning began."""
    arch, quick = ARCHS[arch_name], without_refresh(1000.0)
    fields = {"offset": 0, "port_stride": 0, "norm_entries": 0, "param_entries": 0, "weight_words": words}
    step = Step(opcode=Opcode.LOAD_WEIGHTS, name="load", fields=fields)
    machine = Machine(arch, quick, [Instruction(index=0, step=step)])
    machine.queues[Unit.LOAD].entered.reach(0)
    machine.clock.at(0, WeightLoader(machine, Ddr(quick)).run())
    machine.clock.run()
    return machine.weights.arrived.times, machine.starts[0]


@pytest.mark.parametrize(
    ("arch", "bursts_a_word"),
    [("sim", 0.5), ("sim-1x8x8", 0.5), ("sim-1x8x64", 2), ("zcu102", 0.5)],
)
def test_bursts_in_flight_limit_a_load(arch: str, bursts_a_word: float):
    """Short loads take a latency; long ones take one for every ``outstanding`` bursts."""
    spec, latency = ARCHS[arch], 100
    times, begin = loaded(arch, 1)
    assert latency < times[0] - begin < latency + 50
    words = 100
    times, _ = loaded(arch, words)
    assert len(times) == words
    rounds = words * bursts_a_word / spec.outstanding
    beats = words * spec.tile_beats // spec.weight_ports
    least = max(rounds * latency, beats)
    assert least < times[-1] < 1.25 * least + latency + 40


def test_a_load_waits_for_space():
    """Nothing beyond the ring is asked for until something is freed."""
    arch = ARCHS["sim"]
    times, _ = loaded("sim", arch.ring_words + 10)
    assert len(times) == arch.ring_words
