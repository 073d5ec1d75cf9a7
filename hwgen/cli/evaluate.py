"""The verb ``hwgen evaluate``: accuracy of the float model, of the integers and of the Verilog in one table."""

from typing import Annotated

import typer
from rich import box
from rich.table import Table

from hwgen.accuracy import Accuracy, Row, measure
from hwgen.cli.console import ERR, OUT, tell
from hwgen.cli.exit_codes import MISMATCH
from hwgen.cli.options import ArchName, BoardName, BuildFolder, JsonFile, WeightBits
from hwgen.cli.progress import Progress
from hwgen.cli.report_file import write_json
from hwgen.frontend.evaluate import scored_tasks
from hwgen.pipeline import build_folder
from hwgen.request import InputError, resolve, writable_folder
from hwgen.spec.graph_model import Model

DEFAULT_MODEL = "m3vit-micro"
COLUMNS = ("scenes", "mIoU", "depth RMSE m", "values compared", "RTL != golden")


def _figure(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def row_cells(row: Row) -> tuple[str, ...]:
    """One line of the table as text."""
    quality = row.quality
    return (
        row.model,
        str(row.scenes),
        _figure(quality.miou, ".4f"),
        _figure(quality.depth_rmse, ".4f"),
        _figure(row.values, ","),
        _figure(row.mismatches, ","),
    )


def accuracy_table(found: Accuracy) -> Table:
    """Every model on its scenes."""
    title = f"{found.design.model.name} on held-out scenes"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", no_wrap=True)
    for name in COLUMNS:
        table.add_column(name, justify="right")
    for row in found.rows:
        table.add_row(*row_cells(row), style="red" if row.mismatches else None)
    return table


def _closing(found: Accuracy) -> str:
    """What the table comes to, in one sentence."""
    rtl = [row for row in found.rows if row.model == "RTL"]
    if not rtl:
        return "the Verilog was not run (--rtl-scenes 0)"
    where = f"on {found.design.board.name} (arch {found.design.arch.name})"
    if found.mismatches:
        return f"RTL {where} differs from golden in {found.mismatches:,} of {rtl[0].values:,} values"
    return f"RTL {where} equals golden in all {rtl[0].values:,} values of its {rtl[0].scenes} scenes"


def _checked(config: Model) -> None:
    """Refuse a network whose predictions nothing is known about."""
    if not any(scored_tasks(config)):
        tasks = ", ".join(f"{t.name} ({t.kind}, {t.classes})" for t in config.tasks)
        raise InputError(
            f"{config.name}: has the tasks {tasks}; the scenes have labels for a segmentation task of 5 classes and a"
            " depth task: compare this network with its float model by hwgen verify"
        )


def _named(name: str | None, model: str | None) -> str:
    if name is not None and model is not None and name != model:
        raise InputError(f"{name} and --model {model}: give the network once")
    return name or model or DEFAULT_MODEL


def evaluate_command(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME|FILE]", help="Network; m3vit-micro when not given.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="NAME|FILE", help="The same as an option.")] = None,
    scenes: Annotated[
        int, typer.Option("--scenes", min=1, max=10_000, help="Scenes for the float and the golden model.")
    ] = 200,
    rtl_scenes: Annotated[
        int, typer.Option("--rtl-scenes", min=0, max=10_000, help="Scenes for the Verilog; 0: none.")
    ] = 10,
    board: BoardName = "zcu102",
    arch: ArchName = None,
    weights: WeightBits = None,
    output: BuildFolder = None,
    json_file: JsonFile = None,
) -> None:
    """Measure mIoU and depth RMSE of the float model, of golden and of the Verilog on held-out scenes."""
    design = resolve(board, _named(name, model), arch, weights)
    _checked(design.model)
    folder = output or build_folder(design)
    writable_folder(folder, "--output")
    with Progress(ERR) as say:
        found = measure(design, folder, scenes, rtl_scenes, say)
    OUT.print(accuracy_table(found))
    tell(_closing(found))
    mean = found.rows[0].quality.depth_rmse_mean_predictor
    OUT.print(f"predicting the mean depth everywhere: RMSE {mean:.4f} m", markup=False, highlight=False)
    write_json(json_file, found.as_dict())
    if found.mismatches:
        raise typer.Exit(MISMATCH)
