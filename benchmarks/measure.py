"""Measures a case: builds the machine, sends one image through its Verilog, compares every value."""

from collections.abc import Callable
from dataclasses import replace

from benchmarks.cases import IMAGE_SEED, Case
from benchmarks.figures import SYNTHESIS, Figures, figures_of, images
from hwgen.emit.vivado import VERILOG_FILE
from hwgen.pipeline import Wanted, build_folder, verify
from hwgen.report.verification import Verification
from hwgen.store.cache import kind_folder
from hwgen.synth import synthesise


class WrongResultError(RuntimeError):
    """The machine computed something else than golden: its speed means nothing."""


def measured(case: Case, say: Callable[[str], None]) -> Verification:
    """The verification that the figures of ``case`` are taken from."""
    design = case.design
    wanted = Wanted(images=images(design, IMAGE_SEED), tasks=design.model.tasks[:1])
    found = verify(design, build_folder(design), wanted, say)
    if not found.good:
        raise WrongResultError(f"{case.name}: {found.mismatches:,} values differ from golden; first: {found.first}")
    return found


def measure(case: Case, say: Callable[[str], None], synth: bool = False) -> Figures:
    """Figures of ``case``; ``synth``: with DSPs from synthesis (hwgen build --synth), else estimated ones."""
    found = figures_of(measured(case, say), case.memory)
    if not synth:
        return found
    verilog = (build_folder(case.design) / VERILOG_FILE).read_text()
    return replace(found, dsp=synthesise(verilog, kind_folder("synthesis"), say).total.dsp, dsp_source=SYNTHESIS)
