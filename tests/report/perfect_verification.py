"""A verification of m3vit-micro in which the machine makes no mistake but those that a test asks for."""

from collections.abc import Callable
from functools import cache

from golden.network import run_network
from golden.reference.m3vit_float import FloatModel
from hwgen.compiler.compile import Compiled, compile_model
from hwgen.frontend.store import load_float, load_model
from hwgen.report.verification import Pass, Verification
from hwgen.request import images_for, resolve, tasks_of
from sim.compare import compare
from sim.trace import Trace
from tests.perfect_machine import perfect_result

DESIGN = resolve("sim", "m3vit-micro", None)
Spoil = Callable[[Trace], None]  # changes a trace


@cache
def compiled() -> Compiled:
    """Programs of the network."""
    return compile_model(load_model("m3vit-micro"), DESIGN.arch)


def perfect_verification(images: int = 1, task: str = "all", spoil: Spoil | None = None) -> Verification:
    """What a verification on that machine finds; ``spoil`` changes the trace of every run."""
    package, tasks = load_model("m3vit-micro"), tasks_of(DESIGN.model, task)
    pictures = images_for(DESIGN.model, None, images, 0)
    result = perfect_result(package, compiled(), pictures, [item.name for item in tasks])
    model, passes = FloatModel(load_float("m3vit-micro"), DESIGN.model), []
    for run in result.runs:
        image = pictures[run.image]
        golden = run_network(package, image, run.task)
        assert run.trace is not None
        if spoil is not None:
            spoil(run.trace)
        found = compare(run.trace, compiled().programs[run.task].listing, golden, run.data)
        passes.append(Pass(run=run, comparison=found, golden=golden, reference=model.run(image, run.task)))
    return Verification(
        design=DESIGN,
        compiled=compiled(),
        scales=package.scales,
        zeros=package.zeros,
        images=pictures,
        tasks=tasks,
        passes=tuple(passes),
        simulation=result,
    )
