"""``python -m benchmarks.rings``: what a small weight ring costs, estimated; the table of docs/architecture.md."""

from collections.abc import Iterator
from dataclasses import replace

from benchmarks.cases import Case
from hwgen.compiler.errors import CompileError
from hwgen.estimator.estimate import estimate
from hwgen.spec.design import Design

RINGS_KIB = (1536, 768, 384, 192, 96, 48)
MODELS = ("deit-tiny", "m3vit-tiny")
RATES = (1.0, 0.5)  # of the board's DDR


def cycles(model: str, ring_kib: int, rate: float) -> int | None:
    """Estimated cycles of an image on zcu102, even queues; None when the network does not fit."""
    found = Case(model, "zcu102", ring_kib=ring_kib).design
    ddr = replace(found.board.ddr, peak_gb_per_s=found.board.ddr.peak_gb_per_s * rate)
    design = Design(model=found.model, arch=found.arch, board=replace(found.board, ddr=ddr))
    try:
        return estimate(design).cycles
    except CompileError:
        return None


def lines() -> Iterator[str]:
    """The table, cycles in thousands."""
    for ring in RINGS_KIB:
        found = (cycles(model, ring, rate) for model in MODELS for rate in RATES)
        yield f"| {ring:,} | {' | '.join('-' if item is None else f'{item / 1e3:.0f}' for item in found)} |"


if __name__ == "__main__":
    for line in lines():
        print(line, flush=True)
