"""What a cocotb test of one's own needs: simulators of a built machine, backends of the driver, golden results.

Outside the simulator
    `build_top` makes the simulator of hwgen_top, whose AXI ports Python drives; `build_bench` that of hwgen_bench, with
    memory and host in HDL; `build_sources` takes Verilog of one's own. `run_tests` runs the cocotb tests of a file
    in one of them. `BenchMemory` and `DdrSettings` say how the memory of hwgen_bench behaves, stalls included.
    `toolchain_environment` is for runners of one's own.

Inside
    `Device`, the driver of boards and simulations, on `AxiBackend` (hwgen_top; needs cocotbext-axi) or `BenchBackend`
    (hwgen_bench). `Network`: what the driver loads and what golden says of it. `Silence` shuts channels of hwgen_bench.

docs/own-tests.md shows how; ``hwgen build`` writes tests that begin with this, into ``cocotb/``.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from golden.network import run_network
from hwgen.driver.backend import BackendError
from hwgen.driver.device import Device, DeviceError, MachineError, RunResult
from hwgen.driver.workload import Workload
from hwgen.emit.program import PACKAGE_FILE
from hwgen.spec.package import QuantisedModel
from hwgen.store.packages import load_package
from sim.backend import BenchBackend
from sim.bench_memory import BenchMemory
from sim.options import DdrSettings, Silence
from sim.own_tests import Outcome, build_bench, build_sources, build_top, run_tests, toolchain_environment
from sim.runner import BuildError, SimulationError

if TYPE_CHECKING:
    from sim.axi_backend import AxiBackend

__all__ = [
    "AxiBackend",
    "BackendError",
    "BenchBackend",
    "BenchMemory",
    "BuildError",
    "DdrSettings",
    "Device",
    "DeviceError",
    "MachineError",
    "Network",
    "Outcome",
    "RunResult",
    "Silence",
    "SimulationError",
    "Workload",
    "build_bench",
    "build_sources",
    "build_top",
    "run_tests",
    "toolchain_environment",
]


def __getattr__(name: str) -> Any:
    """AxiBackend is looked for when it is asked for: cocotbext-axi is an extra, and the rest works without."""
    if name == "AxiBackend":
        from sim.axi_backend import AxiBackend

        return AxiBackend
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@dataclass(frozen=True)
class Network:
    """One network of a build folder: ``Network(BUILD / "models" / "m3vit-micro")``; read when it is first used.

    WorkloadError or PackageError when the files are damaged or of another version; FileNotFoundError names a missing
    one.
    """

    folder: Path

    @cached_property
    def workload(self) -> Workload:
        """What ``Device.load`` takes: memory image and programs; ``workload.tasks`` by name, ``image_shape``."""
        return Workload.load(self.folder)

    @cached_property
    def package(self) -> QuantisedModel:
        """The network in integers."""
        return load_package(self.folder / PACKAGE_FILE)

    def golden(self, image: NDArray[np.uint8], task: str) -> dict[str, NDArray[Any]]:
        """Every named tensor of one image [height, width, channels], as docs/numerics.md defines them."""
        return run_network(self.package, image, task)

    def expected(self, image: NDArray[np.uint8], task: str) -> NDArray[Any]:
        """What ``Device.run(task, image).data`` must be, int16 codes [rows, outputs]."""
        return self.golden(image, task)[self.package.config.network.result(task).writes]
