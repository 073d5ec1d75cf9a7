"""In place of the simulator, for commands of documents: a machine that makes no mistake unless weights are spoilt."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwgen import pipeline
from hwgen.compiler.compile import Compiled, compile_model
from hwgen.spec.arch import ArchConfig
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.package import QuantisedModel
from sim.session import SimResult
from tests.perfect_machine import STAND_IN, perfect_result

REAL = ("sim", "zcu102")  # machines whose Verilog other tests emit, too


class DocumentsMachine:
    """Runs what was compiled last."""

    def __init__(self) -> None:
        self.runs = 0
        self._package: QuantisedModel | None = None
        self._load = pipeline.load_model

    def load_model(self, *words: Any, **named: Any) -> QuantisedModel:
        """As `hwgen.frontend.store.load_model`; the package is remembered."""
        self._package = self._load(*words, **named)
        return self._package

    def simulate(
        self, verilog: str, arch: Any, board: Any, compiled: Compiled, images: Any, tasks: Any, options: Any
    ) -> SimResult:
        """As `sim.session.simulate`."""
        assert self._package is not None
        self.runs += 1
        result = perfect_result(self._package, compiled, images, list(tasks))
        if not np.array_equal(compiled.image, compile_model(self._package, arch).image):
            assert result.runs[0].trace is not None
            result.runs[0].trace["post"]["data"][40, 1] ^= 8
        return result


def _verilog(real: Callable[[ArchConfig], str]) -> Callable[[ArchConfig], str]:
    def verilog(arch: ArchConfig) -> str:
        return real(arch) if arch in [ARCHS[name] for name in REAL] else STAND_IN

    return verilog


def _write_board(real: Any) -> Any:
    def write(part: Path, result: Any) -> None:
        if result.verilog == STAND_IN:
            (part / "board.txt").write_text("no board files without Verilog")
        else:
            real(part, result)

    return write


def install(monkeypatch: pytest.MonkeyPatch) -> DocumentsMachine:
    """Put it in place of loading, elaboration and simulation."""
    machine = DocumentsMachine()
    monkeypatch.setattr(pipeline, "load_model", machine.load_model)
    monkeypatch.setattr(pipeline, "simulate", machine.simulate)
    monkeypatch.setattr(pipeline, "build_simulator", lambda *_: None)
    monkeypatch.setattr(pipeline, "machine_verilog", _verilog(pipeline.machine_verilog))
    monkeypatch.setattr(pipeline, "_write_board", _write_board(pipeline._write_board))
    return machine
