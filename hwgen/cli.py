"""The command line: a thin skin over the Python API. Exit code 0 good, 1 mismatch, 2 bad input or missing tool.

A signal ends it with 128 + its number, and nothing that it has started goes on.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from hwgen.cli_evaluate import evaluate_command
from hwgen.cli_export import export_command
from hwgen.cli_import import import_command
from hwgen.cli_progress import Progress
from hwgen.cli_quantize import quantize_command
from hwgen.cli_report import JsonFile
from hwgen.cli_tables import board_table, doctor_table, instruction_table, model_table, verification_lines
from hwgen.compiler.errors import CompileError
from hwgen.compiler.estimate import estimate
from hwgen.driver.device import MachineError
from hwgen.emit.summary import summary_text
from hwgen.picture import compose, save
from hwgen.pipeline import (
    FLIPPED,
    SYNTH_STEPS,
    WAVES_FOLDER,
    Wanted,
    build,
    build_folder,
    build_report,
    synthesised,
    verify,
)
from hwgen.report import tensor_table
from hwgen.report_file import OPTION, Report, write_json
from hwgen.request import InputError, images_for, resolve, tasks_of, writable_file, writable_folder
from hwgen.signals import Stopped, stop_on_signals
from hwgen.spec.package import PackageError
from hwgen.spec.strict_yaml import ConfigError
from hwgen.synth import SynthesisError
from hwgen.synth.page import synthesis_text
from hwgen.verification import Verification
from sim.runner import BuildError, SimulationError
from sim.toolchain import ToolMissing, doctor

DEMO_SEED = 30  # a scene with every class
DEMO_PICTURE = Path("build") / "demo.png"
MISMATCH, BAD_INPUT = 1, 2
PLAIN_WIDTH = 120  # columns when the output is not a terminal
OUT = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
ERR = Console(stderr=True)

app = typer.Typer(
    name="hwgen",
    help="Generate, compile for, and simulate a vision-transformer accelerator.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

BoardName = Annotated[str, typer.Option("--board", metavar="NAME", help="Board; see hwgen boards.")]
ArchName = Annotated[
    str | None, typer.Option("--arch", metavar="PRESET|FILE.yaml", help="Machine; the board's own when not given.")
]
Folder = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="DIR", help="Build folder; below build/ when not given.")
]
MODEL = typer.Option("--model", metavar="NAME|FILE.safetensors", help="Network; see hwgen models and hwgen import.")
WeightBits = Annotated[
    str | None,
    typer.Option("--weights", metavar="WHAT=BITS,..", help="Four-bit weights for some layers, such as experts=4."),
]


@app.command("doctor")
def doctor_command(json_file: JsonFile = None) -> None:
    """Look for every tool and say how to install what is missing."""
    findings = doctor()
    missing = [item for item in findings if not item.found and not item.optional]
    OUT.print(doctor_table(findings))
    write_json(json_file, {"tools": [item.as_dict() for item in findings], "missing": [item.tool for item in missing]})
    for item in missing:
        ERR.print(
            f"missing: {item.tool} ({item.purpose}); install it with: {item.install}", markup=False, soft_wrap=True
        )
    if missing:
        raise typer.Exit(BAD_INPUT)


@app.command("models")
def models_command(json_file: JsonFile = None) -> None:
    """List the networks that need no file."""
    table, rows = model_table()
    OUT.print(table)
    write_json(json_file, {"models": rows})


@app.command("boards")
def boards_command(json_file: JsonFile = None) -> None:
    """List the boards."""
    table, rows = board_table()
    OUT.print(table)
    write_json(json_file, {"boards": rows})


@app.command("build")
def build_command(
    board: BoardName,
    model: Annotated[str, MODEL] = "m3vit-micro",
    arch: ArchName = None,
    weights: WeightBits = None,
    output: Folder = None,
    synth: Annotated[
        bool, typer.Option("--synth", help="Also synthesise every unit with Yosys; count cells and longest paths.")
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Write Verilog, side-car, program, memory image, driver, C header, Vivado project and a summary."""
    design = resolve(board, model, arch, weights)
    folder = output or build_folder(design)
    writable_folder(folder, "--output")
    with Progress(ERR) as say:
        result, steps = build(design, folder, say, SYNTH_STEPS if synth else ())
        report = synthesised(result, steps, say) if synth else None
    OUT.print(summary_text(design, result.estimates), markup=False, highlight=False)
    if report is not None:
        OUT.print(synthesis_text(report, design.board), markup=False, highlight=False, soft_wrap=True)
    OUT.print(f"written to {folder}", markup=False, highlight=False, soft_wrap=True)
    found = {"synthesis": report.to_json(design.board)} if report is not None else {}
    write_json(json_file, build_report(result) | found)


@app.command("estimate")
def estimate_command(
    board: BoardName,
    model: Annotated[str, MODEL] = "m3vit-tiny",
    arch: ArchName = None,
    weights: WeightBits = None,
    task: Annotated[
        str | None, typer.Option("--task", metavar="TASK", help="The model's first when not given.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Estimate cycles, traffic and resources of one image without building anything."""
    design = resolve(board, model, arch, weights)
    estimates = [estimate(design, item.name) for item in tasks_of(design.model, task)]
    OUT.print(summary_text(design, estimates), markup=False, highlight=False)
    OUT.print(instruction_table(estimates[0].instructions))
    write_json(json_file, estimates[0].to_json())


@app.command("verify")
def verify_command(
    board: BoardName,
    model: Annotated[str, MODEL] = "m3vit-micro",
    arch: ArchName = None,
    weights: WeightBits = None,
    image: Annotated[
        Path | None, typer.Option("--image", metavar="FILE.png", help="A picture of the network's size.")
    ] = None,
    task: Annotated[str | None, typer.Option("--task", metavar="TASK|all", help="First task when not given.")] = None,
    images: Annotated[int, typer.Option("--images", min=1, max=1000, help="How many generated scenes.")] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0, max=900_000, help="Which generated scenes.")] = 0,
    waves: Annotated[
        bool, typer.Option("--waves", help="Also write a waveform (VCD): slow, some 50 KB a cycle.")
    ] = False,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Spoil one bit of the weights for the RTL; succeed if that is noticed.")
    ] = False,
    picture: Annotated[Path | None, typer.Option("--picture", metavar="FILE.png", help="Draw input and maps.")] = None,
    output: Folder = None,
    json_file: JsonFile = None,
) -> None:
    """Send images through the Verilog and compare every tensor with the golden model, bit for bit."""
    writable_file(picture, "--picture")
    design = resolve(board, model, arch, weights)
    folder = output or build_folder(design)
    writable_folder(folder, "--output")
    wanted = Wanted(
        images=images_for(design.model, image, images, seed),
        tasks=tasks_of(design.model, task),
        waves=waves,
        self_test=self_test,
    )
    try:
        with Progress(ERR) as say:
            found = verify(design, folder, wanted, say)
    except MachineError as error:
        code = 0 if self_test else MISMATCH
        ERR.print(f"{'caught: ' if self_test else 'error: '}{error}", markup=False, highlight=False, soft_wrap=True)
        failed = {} if self_test else {"error": str(error)}
        write_json(json_file, {"self_test": self_test, "caught": self_test, "machine_error": str(error)} | failed)
        raise typer.Exit(code) from error
    show_verification(found, folder, wanted, picture)
    extra = {"self_test": True, "caught": found.mismatches > 0} if self_test else {}
    write_json(json_file, found.report() | extra)
    if self_test:
        noticed = "noticed" if found.mismatches else "NOT NOTICED"
        OUT.print(f"self-test: one spoilt bit in the weights of {FLIPPED} was {noticed}", markup=False, highlight=False)
        raise typer.Exit(0 if found.mismatches else MISMATCH)
    if not found.good:
        raise typer.Exit(MISMATCH)


@app.command("demo")
def demo_command(
    board: Annotated[str, typer.Option("--board", metavar="NAME")] = "zcu102",
    model: Annotated[str, MODEL] = "m3vit-micro",
    seed: Annotated[int, typer.Option("--seed", min=0, max=900_000)] = DEMO_SEED,
    json_file: JsonFile = None,
) -> None:
    """Build, verify every task on a generated scene, print the table and draw the picture (build/demo.png)."""
    DEMO_PICTURE.parent.mkdir(exist_ok=True)
    verify_command(board, model, None, None, None, "all", 1, seed, False, False, DEMO_PICTURE, None, json_file)


app.command("evaluate")(evaluate_command)
app.command("export")(export_command)
app.command("import")(import_command)
app.command("quantize")(quantize_command)


def show_verification(found: Verification, folder: Path, wanted: Wanted, picture: Path | None) -> None:
    """Table, totals and picture of a verification."""
    OUT.print(tensor_table(found.tensors(), f"{found.design.network} on {found.design.board.name}"))
    for line in verification_lines(found):
        OUT.print(line, markup=False, highlight=False, soft_wrap=True)
    for warning in found.warnings():
        ERR.print(f"warning: {warning}", markup=False, highlight=False, soft_wrap=True)
    if wanted.waves:
        OUT.print(f"waveform: {folder / WAVES_FOLDER / 'dump.vcd'}", markup=False, highlight=False, soft_wrap=True)
    if picture is not None:
        footer = verification_lines(found)[0]
        save(compose(found.panels(), found.class_names(), footer), picture)
        OUT.print(f"picture: {picture}", markup=False, highlight=False, soft_wrap=True)


def guarded(command: Callable[[], Any], report: Report | None = None) -> int:
    """Run a command; what the user can put right becomes one message, in ``report`` too, and exit code 2."""
    try:
        command()
        return 0
    except (InputError, ConfigError, PackageError, CompileError, ToolMissing, SynthesisError) as error:
        message, code = str(error), BAD_INPUT
    except (BuildError, SimulationError, MachineError) as error:
        message, code = str(error), MISMATCH
    except OSError as error:
        text = error.strerror or str(error)
        message, code = f"{error.filename}: {text}" if error.filename else text, BAD_INPUT
    ERR.print(f"error: {message}", markup=False, highlight=False, soft_wrap=True)
    if report is not None:
        report.fail(message)
    return code


def _misunderstood(end: SystemExit) -> str | None:
    """What the command line parser has said, when it is the one that ended the program."""
    told = getattr(end.__context__, "format_message", None)
    return None if told is None else str(told())


def run(words: Sequence[str]) -> int:
    """Run a command line; the exit code. Whatever goes wrong also stands in the file of ``--json``."""
    report = Report.of(words)

    def command() -> None:
        if report.clash:
            raise InputError(f"{OPTION} {report.path}: the command line gives this name twice; give another one")
        with report.tables():
            app(list(words))

    try:
        return guarded(command, report)
    except SystemExit as end:
        message = _misunderstood(end)
        if message is not None:
            report.fail(message)
        raise
    except Stopped as stop:
        ERR.print(f"error: {stop}", markup=False, highlight=False, soft_wrap=True)
        report.fail(str(stop))
        return stop.exit_code
    except Exception as error:
        report.fail(f"{type(error).__name__}: {error}")
        raise


def main() -> None:
    """Entry point of the ``hwgen`` program, once its modules are there."""
    stop_on_signals()
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
