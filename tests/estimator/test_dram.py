"""The memory model of the estimate: rate, latency and refresh, by hand."""

from dataclasses import replace

import pytest

from hwgen.compiler.step import Step
from hwgen.estimator.clock import Process
from hwgen.estimator.dram import (
    IO_PORT,
    PAGE_BYTES,
    SAVED_BYTES,
    SINCE_GAP_CYCLES,
    WRITE_PORT,
    Burst,
    Ddr,
    ReadEngine,
    WeightLoader,
    last_beats,
)
from hwgen.estimator.machine import Instruction, Machine
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.board import Board
from hwgen.spec.isa import Opcode, Unit
from hwgen.store.boards import board


def without_refresh(rate_bytes: float = 16.0) -> Board:
    """A board at 100 MHz with ``rate_bytes`` a cycle."""
    small = board("sim")
    peak = rate_bytes / 10 / small.ddr.efficiency
    return replace(small, ddr=replace(small.ddr, peak_gb_per_s=peak, refresh_cycles=0))


def test_a_port_moves_one_beat_a_cycle():
    ddr = Ddr(without_refresh(1000.0))
    assert ddr.serve(IO_PORT, 100, 16) == (100, 116)
    assert ddr.serve(IO_PORT, 101, 16) == (116, 132)
    assert ddr.serve(WRITE_PORT, 101, 16) == (101, 117)  # another port does not wait
    assert ddr.serve(IO_PORT, 200, 8, pace=2) == (200, 216)


def test_all_ports_share_the_rate():
    """What was saved up while nothing moved goes first."""
    ddr, begin, end = Ddr(without_refresh(32.0)), 10_000, 0
    for number in range(800):
        _, end = ddr.serve(f"port {number % 4}", begin, 16)
    moved = 200 * 16 * 4 * 16
    assert end == pytest.approx(begin + (moved - SAVED_BYTES) / 32.0, abs=2)
    start, end = ddr.serve(IO_PORT, begin, 16)
    assert (start, end) == (begin, pytest.approx(begin + (moved - SAVED_BYTES + 256) / 32.0, abs=2))


def test_refresh_stops_everything():
    """sim: 35 of 780 cycles; the first gap begins 745 cycles behind the end of the one before the start."""
    ddr, gap = Ddr(board("sim")), 745 - SINCE_GAP_CYCLES
    assert ddr.serve(IO_PORT, gap - 16, 16) == (gap - 16, gap)
    assert ddr.serve(IO_PORT, gap - 16, 16) == (gap + 35, gap + 51)
    assert ddr.serve(IO_PORT, gap + 55, 730) == (gap + 55, gap + 55 + 730 + 35)
    assert ddr.serve(IO_PORT, 2000, 2000)[1] == pytest.approx(2000 + 2000 * 780 / 745, abs=40)


def test_bursts_of_a_transfer():
    """The latency, then as fast as bursts in flight allow."""
    quick = without_refresh()
    machine = Machine(ARCHS["sim"], quick, [])
    engine, found = ReadEngine(machine, Ddr(quick)), list[Burst]()

    def process() -> Process:
        found.extend((yield from engine.read(10, 100, 0)))

    machine.clock.at(0, process())
    machine.clock.run()
    assert found[0] == (10 + 2 + 1 + 100, 10 + 2 + 1 + 100 + 16, 16)
    assert found[1].start == found[0].end
    assert found[4].start == found[0].end + 2 + 100  # four in flight
    assert sum(burst.end - burst.start for burst in found) == 100
    ends = last_beats(found, 25)
    assert len(ends) == 4
    assert ends[0] == found[1].start + 8  # beat 24 is the ninth of the second burst
    assert ends[-1] == found[-1].end - 1


def test_a_burst_ends_with_its_page():
    """40 beats, six of them before a page ends: 6, 16, 16 and 2."""
    machine = Machine(ARCHS["sim"], without_refresh(), [])
    engine, found = ReadEngine(machine, Ddr(machine.board)), list[Burst]()

    def process() -> Process:
        found.extend((yield from engine.read(0, 40, PAGE_BYTES - 6 * 16)))

    machine.clock.at(0, process())
    machine.clock.run()
    assert [burst.beats for burst in found] == [6, 16, 16, 2]
    ends = last_beats(found, 5)
    assert len(ends) == 8
    assert (ends[0], ends[1]) == (found[0].start + 4, found[1].start + 3)  # beat 9 is the fourth of the second burst
    assert ends[-1] == found[-1].end - 1


def loaded(arch_name: str, words: int, offset: int = 0, port_stride: int = 0) -> tuple[list[int], int]:
    """When ``words`` weight tiles of one load have arrived, and when its planning began."""
    arch, quick = ARCHS[arch_name], without_refresh(1000.0)
    sizes = {"norm_entries": 0, "param_entries": 0, "weight_words": words}
    fields = {"offset": offset, "port_stride": port_stride, **sizes}
    step = Step(opcode=Opcode.LOAD_WEIGHTS, name="load", fields=fields)
    machine = Machine(arch, quick, [Instruction(index=0, step=step)])
    machine.queues[Unit.LOAD].entered.reach(0)
    for process in WeightLoader(machine, Ddr(quick)).processes():
        machine.clock.at(0, process)
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


def test_every_port_cuts_its_bursts_at_its_own_pages():
    """A cut takes one of the bursts in flight: of 17 bursts instead of 16 a page, and of another port's 17 as well."""
    words = 200  # 1600 beats, 800 on each of two ports: three pages
    aligned, cut, other = (loaded("sim-4x8x16", words, *at)[0][-1] for at in ((0, 0), (64, 0), (0, PAGE_BYTES + 64)))
    rounds = 3 / ARCHS["sim-4x8x16"].outstanding
    assert aligned + 50 * rounds < cut < aligned + 130 * rounds
    assert aligned + 50 * rounds < other < aligned + 130 * rounds


def test_a_load_waits_for_space():
    """Nothing beyond the ring is asked for until something is freed."""
    arch = ARCHS["sim"]
    times, _ = loaded("sim", arch.ring_words + 10)
    assert len(times) == arch.ring_words
