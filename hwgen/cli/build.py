"""The commands ``hwgen build`` and ``hwgen estimate``."""

from typing import Annotated

import typer

from hwgen.cli.console import OUT, PROGRESS, tell
from hwgen.cli.options import ArchName, BoardName, BuildFolder, JsonFile, ModelName, WeightBits
from hwgen.cli.progress import Progress
from hwgen.cli.report_file import write_json
from hwgen.cli.tables import instruction_table, share_table
from hwgen.emit.summary import summary_text
from hwgen.estimator.estimate import estimate
from hwgen.pipeline import SYNTH_STEPS, build, build_folder, build_report, synthesised
from hwgen.request import resolve, tasks_of, writable_folder
from hwgen.synth.page import synthesis_text


def build_command(
    board: BoardName,
    model: ModelName = "m3vit-micro",
    arch: ArchName = None,
    weights: WeightBits = None,
    output: BuildFolder = None,
    synth: Annotated[
        bool, typer.Option("--synth", help="Also synthesise every unit with Yosys; count cells and longest paths.")
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Write Verilog, side-car, program, memory image, driver, C header, Vivado project and a summary."""
    design = resolve(board, model, arch, weights)
    folder = output or build_folder(design)
    writable_folder(folder, "--output")
    with Progress(PROGRESS) as say:
        result, steps = build(design, folder, say, SYNTH_STEPS if synth else ())
        report = synthesised(result, steps, say) if synth else None
    OUT.print(summary_text(design, result.estimates), markup=False, highlight=False)
    if report is not None:
        tell(synthesis_text(report, design.board))
    tell(f"written to {folder}")
    found = {"synthesis": report.to_json(design.board)} if report is not None else {}
    write_json(json_file, build_report(result) | found)


def estimate_command(
    board: BoardName,
    model: ModelName = "m3vit-tiny",
    arch: ArchName = None,
    weights: WeightBits = None,
    task: Annotated[
        str | None, typer.Option("--task", metavar="TASK", help="The model's first when not given.")
    ] = None,
    instructions: Annotated[
        bool, typer.Option("--instructions", help="Also print when every instruction that multiplies runs.")
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Estimate cycles, traffic and resources of one image without building anything."""
    design = resolve(board, model, arch, weights)
    estimates = [estimate(design, item.name) for item in tasks_of(design.model, task)]
    OUT.print(summary_text(design, estimates), markup=False, highlight=False)
    for item in estimates:
        OUT.print(share_table(item, design.arch.macs))
    if instructions:
        OUT.print(instruction_table(estimates[0].instructions))
    write_json(json_file, estimates[0].to_json())
