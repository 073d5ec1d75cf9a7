"""Memory that lies across a multiple of 4 GB: every address that is added up carries into its upper half."""

import pytest

from golden.network import run_network
from hwgen.compiler.compile import compile_model
from hwgen.driver.workload import Workload
from hwgen.spec.arch_presets import ARCHS
from tests.golden.random_package import random_image, random_package
from tests.system.machines import check_run, run_machine, sim_options
from tests.system.networks import TINY

SEED = 41
BORDER = 1 << 32
PAGE = 4096


def _workload() -> Workload:
    return Workload.from_compiled(compile_model(random_package(TINY, SEED), ARCHS["sim"]))


PLACES = {  # byte of the memory that lies at the border
    "model": lambda found: PAGE,
    "weights": lambda found: found.image_offset // 2,
    "program": lambda found: found.task(TINY.tasks[0].name).program_offset + 64,
    "image": lambda found: found.image_offset + 256,
    "result": lambda found: found.result_offset + 64,
}


@pytest.mark.parametrize("place", PLACES)
def test_across_four_gigabytes(place: str):
    """Every value is right when the border lies in this part."""
    package, image, task = random_package(TINY, SEED), random_image(TINY, SEED), TINY.tasks[0].name
    compiled = compile_model(package, ARCHS["sim"])
    at = PLACES[place](_workload()) // 64 * 64
    options = sim_options(memory_base=BORDER - at)
    (run,) = run_machine(compiled, [image], [task], options=options).runs
    checked = check_run(compiled, run, run_network(package, image, task))
    assert checked.comparison.values > 5000
