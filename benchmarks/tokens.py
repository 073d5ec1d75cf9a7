"""``python -m benchmarks.tokens``: what tokens that leave save: deit-tiny on zcu102 with lists, simulated, estimated.

Seeded weights: which tokens leave means nothing, how long it takes does. Every value is compared with golden.
"""

import sys
from dataclasses import replace

from golden.network import run_network
from hwgen.compiler.compile import compile_model
from hwgen.estimator.estimate import estimate
from hwgen.frontend.seeded import calibration_images, seeded_package
from hwgen.pipeline import machine_verilog
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.design import Design
from hwgen.spec.presets import model_config
from hwgen.store.boards import board
from sim.compare import compare
from sim.options import SimOptions
from sim.session import simulate

KEEP = ((3, 0.7), (6, 0.7), (9, 0.7))  # EViT's blocks and share
TARGET = 427_000  # cycles
LIST_ENTRIES = 512


def design() -> Design:
    """The network on the machine."""
    model = replace(model_config("deit-tiny"), name="deit-tiny-evit", keep=KEEP, fuse=True)
    arch = replace(ARCHS["zcu102"], name="zcu102-lists", list_entries=LIST_ENTRIES)
    return Design(model=model, arch=arch, board=board("zcu102"))


def main() -> int:
    """A line of figures; 1 when a value differs or it takes longer than `TARGET`."""
    found = design()
    model, arch, there = found.model, found.arch, found.board
    package, image, task = seeded_package(model), calibration_images(model, 1)[0], model.tasks[0].name
    compiled = compile_model(package, arch)
    options = SimOptions(watchdog_cycles=3_000_000, seconds=900)
    (run,) = simulate(machine_verilog(arch), arch, there, compiled, [image], [task], options).runs
    expected = estimate(found).cycles
    golden = run_network(package, image, task)
    assert run.trace is not None  # the options ask for one
    checked = compare(run.trace, compiled.programs[task].listing, golden, run.data)
    print(
        f"{model.name} on {arch.name}: {run.cycles:,} cycles ({expected / run.cycles - 1:+.2%} estimated),"
        f" {checked.values:,} values, {checked.mismatches} mismatches"
    )
    return int(not checked.good or run.cycles > TARGET)


if __name__ == "__main__":
    sys.exit(main())
