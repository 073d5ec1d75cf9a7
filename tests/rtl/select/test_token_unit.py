"""Token unit: lists, moved and fused rows equal golden, in exact cycles; waits, a taken port and its faults."""

from typing import Any

import numpy as np
import pytest

from hwgen.rtl.select.start import WAIT_CYCLES
from hwgen.spec.isa import Counter, ErrorCode
from hwgen.spec.ops import OPS
from tests.rtl.select.token_bench import FIRST_PC, Bench, Job, gather, list_arch, scatter, select

ARCH, ONE_COPY = list_arch(), list_arch(residual_copies=1)
LARGEST = 16 * 2**24


def importances(rows: int, seed: int, values: int = LARGEST) -> np.ndarray:
    """Of every size; few ``values`` make ties."""
    return np.random.default_rng(seed).integers(0, values, rows)


def selection(
    rows: int, prefix: int, keep: int, words: int, seed: int = 0, *, fuse: bool, place: int | None
) -> list[Job]:
    """SELECT and its GATHER, in place or to ``place``; two words lie between rows."""
    base, stride, left = 3, words + 2, prefix + keep + fuse
    found = importances(rows, seed, 5 if seed % 2 else LARGEST)
    source = {"src_base": base, "src_stride": stride}
    fused = {"fuse": 1, "fused_row": rows} if fuse else {}
    target = {"dst_base": base if place is None else place, "dst_stride": stride}
    moves = gather(left, rows, words, list_base=7, fuse=int(fuse), **source, **target)
    return [select(found, prefix, keep, list_base=7, **fused, **source), moves]


def cycles(job: Job, arch: Any) -> int:
    """What the operation declares."""
    op = OPS[job.opcode]
    return op.cycles(dict.fromkeys(op.offsets(), 0) | job.fields, arch, ())


SHAPES = [  # rows, prefix, keep, words
    (2, 1, 1, 1),
    (9, 1, 3, 1),
    (17, 1, 1, 2),
    (17, 1, 15, 3),
    (33, 2, 20, 4),
    (40, 1, 25, 7),
    (12, 0, 5, 9),
]


@pytest.mark.parametrize("arch", [ARCH, ONE_COPY], ids=["two copies", "one copy"])
@pytest.mark.parametrize("fuse", [False, True], ids=["plain", "fused"])
@pytest.mark.parametrize("place", [None, 900], ids=["in place", "elsewhere"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_selections(shape: tuple[int, int, int, int], place: int | None, fuse: bool, arch: object) -> None:
    rows, prefix, keep, words = shape
    if fuse and prefix + keep == rows:
        pytest.skip("nothing is left to fuse")
    for seed in (1, 2):
        bench = Bench(arch, selection(*shape, seed, fuse=fuse, place=place)).run().check()
        assert [position for position, _, _ in bench.judged] == list(range(rows))
        assert sum(stays for _, _, stays in bench.judged) == prefix + keep
        left = prefix + keep + fuse
        assert bench.moved == [(FIRST_PC + 1, row, word) for row in range(left) for word in range(words)]
        assert bench.took == [cycles(job, arch) for job in bench.jobs]


def test_scatter_brings_rows_back() -> None:
    """What was gathered and has changed goes where it came from; the others stay as they were."""
    jobs = selection(20, 1, 9, 3, 4, fuse=True, place=700)
    back = {"src_base": 700, "src_stride": 5, "dst_base": 3, "dst_stride": 5}
    jobs.append(scatter(10, 20, 3, list_base=7, **back))
    bench = Bench(ARCH, jobs).run().check()
    assert bench.took[-1] == cycles(jobs[-1], ARCH)
    rows = sorted(set(row for pc, row, _ in bench.moved if pc == FIRST_PC + 2))
    assert rows == [bench.lists[7 + n] for n in range(10)]


def test_selections_behind_each_other() -> None:
    """Nothing of the first is left: not its threshold, not the rows that it dropped."""
    jobs = [*selection(30, 1, 12, 2, 6, fuse=True, place=None), *selection(14, 1, 6, 2, 7, fuse=True, place=None)]
    bench = Bench(ARCH, jobs).run().check()
    assert bench.took == [cycles(job, ARCH) for job in jobs]


def test_ties() -> None:
    """Of equal importances the lower positions stay, as many as are wanted and no more."""
    found = np.array([9, 5, 5, 7, 5, 5, 5, 1, 5, 7])
    bench = Bench(ARCH, [select(found, 1, 4, list_base=0), gather(5, 10, 2, dst_base=900)]).run().check()
    assert [bench.lists[n] for n in range(5)] == [0, 1, 2, 3, 9]


def test_a_taken_port_costs_its_cycles() -> None:
    """One copy of the residual: what the post-processor takes comes later, and nothing else changes."""
    rng = np.random.default_rng(5)
    pattern = rng.random(20_000) < 0.4
    jobs = selection(21, 1, 10, 4, 2, fuse=True, place=None)
    free, held = (
        Bench(ONE_COPY, jobs).run().check(),
        Bench(ONE_COPY, jobs, taken=lambda cycle: bool(pattern[cycle])).run(),
    )
    held.check()
    assert held.took[0] == free.took[0]
    assert held.took[1] > free.took[1]


@pytest.mark.parametrize("late", [0, 37])
def test_waits(late: int) -> None:
    """A selection waits for its count and for the observer; a move for its count."""
    jobs = selection(10, 1, 4, 2, 2, fuse=False, place=None)
    jobs[0].fields |= {"wait_b": int(Counter.SCORE), "wait_b_base": 20}
    jobs[1].fields |= {"wait_b": int(Counter.RESIDUAL), "wait_b_base": 9}
    there = 300

    def counts(cycle: int) -> dict[Counter, int]:
        return {Counter.SCORE: 20 * (cycle >= late), Counter.RESIDUAL: 9 * (cycle >= there)}

    bench = Bench(ARCH, jobs, counts=counts).run().check()
    assert bench.started == [(late + WAIT_CYCLES, FIRST_PC), (there + WAIT_CYCLES, FIRST_PC + 1)]
    busy = Bench(ARCH, jobs, counts=counts, observing=lambda cycle: cycle < 90).run().check()
    assert busy.started[0] == (90 + WAIT_CYCLES, FIRST_PC)


WRONG = {
    "keeps none": (dict(keep=0), ErrorCode.ILLEGAL_INSTRUCTION),
    "keeps more than there are": (dict(keep=10), ErrorCode.ILLEGAL_INSTRUCTION),
    "fuses nothing": (dict(keep=9, fuse=1), ErrorCode.ILLEGAL_INSTRUCTION),
    "list past the end": (dict(list_base=252), ErrorCode.OUT_OF_BOUNDS),
}


@pytest.mark.parametrize("what", WRONG)
def test_selections_that_cannot_be(what: str) -> None:
    changes, code = WRONG[what]
    job = selection(10, 1, 4, 2, 2, fuse=False, place=None)[0]
    job.fields |= changes
    bench = Bench(ARCH, [job]).run()
    assert bench.faults == [(int(code), FIRST_PC)]
    assert not bench.lists


def test_a_selection_without_an_observed_row() -> None:
    jobs = selection(10, 1, 4, 2, 2, fuse=False, place=None)[:1]
    bench = Bench(ARCH, jobs, keys=9).run()
    assert bench.faults == [(int(ErrorCode.ILLEGAL_INSTRUCTION), FIRST_PC)]


def test_a_fused_row_on_a_machine_without_sums() -> None:
    job = selection(10, 1, 4, 2, 2, fuse=True, place=None)[0]
    bench = Bench(list_arch(fuse_tokens=False), [job]).run()
    assert bench.faults == [(int(ErrorCode.ILLEGAL_INSTRUCTION), FIRST_PC)]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        (dict(rows=0), ErrorCode.ILLEGAL_INSTRUCTION),
        (dict(words=0), ErrorCode.ILLEGAL_INSTRUCTION),
        (dict(list_base=254), ErrorCode.OUT_OF_BOUNDS),
    ],
)
def test_moves_that_cannot_be(changes: dict[str, int], code: ErrorCode) -> None:
    job = gather(4, 10, 2, **{"list_base": 0})
    job.fields |= changes
    bench = Bench(ARCH, [job]).run()
    assert bench.faults == [(int(code), FIRST_PC)]
    assert not bench.moved


@pytest.mark.parametrize("side", ["src_base", "dst_base"])
def test_words_that_do_not_exist(side: str) -> None:
    """They are not written, the fault has the code, and the instruction ends."""
    jobs = selection(10, 1, 4, 2, 2, fuse=False, place=900)
    jobs[1].fields[side] = ARCH.residual_words - 3
    bench = Bench(ARCH, jobs).run()
    assert set(bench.faults) == {(int(ErrorCode.OUT_OF_BOUNDS), FIRST_PC + 1)}
    assert len(bench.finished) == 2
