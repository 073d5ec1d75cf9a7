"""hwgen: a generator of vision-transformer accelerators whose every value is checked.

    import hwgen

    run = hwgen.verify(board="zcu102", model="m3vit-micro", images=2)
    t = run["blocks.1.moe"]  # t.rtl, t.golden, t.float, t.scale, t.written, t.sqnr, t.plot()
    run.picture()

A public name is loaded when it is first used: a driver on a board, or a command that only lists, does not wait for the
rest. `hwgen.cocotb` is for tests of one's own.
"""

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from hwgen.api import boards, build, estimate, from_timm, golden, load, models, verify
    from hwgen.compiler.errors import CompileError
    from hwgen.driver.device import MachineError
    from hwgen.estimator.estimate import Estimate
    from hwgen.pipeline import Build
    from hwgen.report.tensor import Tensor
    from hwgen.report.verification import Verification
    from hwgen.request import InputError
    from hwgen.spec.package import PackageError, QuantisedModel
    from sim.runner import BuildError, SimulationError
    from sim.toolchain import ToolMissing

# Public name -> the module that it comes from.
_PUBLIC = {
    "boards": "hwgen.api",
    "build": "hwgen.api",
    "estimate": "hwgen.api",
    "from_timm": "hwgen.api",
    "golden": "hwgen.api",
    "load": "hwgen.api",
    "models": "hwgen.api",
    "verify": "hwgen.api",
    "Build": "hwgen.pipeline",
    "Estimate": "hwgen.estimator.estimate",
    "QuantisedModel": "hwgen.spec.package",
    "Tensor": "hwgen.report.tensor",
    "Verification": "hwgen.report.verification",
    "BuildError": "sim.runner",
    "CompileError": "hwgen.compiler.errors",
    "InputError": "hwgen.request",
    "MachineError": "hwgen.driver.device",
    "PackageError": "hwgen.spec.package",
    "SimulationError": "sim.runner",
    "ToolMissing": "sim.toolchain",
}

__all__ = [
    "Build",
    "BuildError",
    "CompileError",
    "Estimate",
    "InputError",
    "MachineError",
    "PackageError",
    "QuantisedModel",
    "SimulationError",
    "Tensor",
    "ToolMissing",
    "Verification",
    "__version__",
    "boards",
    "build",
    "estimate",
    "from_timm",
    "golden",
    "load",
    "models",
    "verify",
]


def __getattr__(name: str) -> Any:
    """A public name, from the module that it comes from."""
    if name == "__version__":
        return metadata.version("hwgen")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'hwgen' has no attribute {name!r}")
    found = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
