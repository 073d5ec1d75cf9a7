"""The verb ``hwgen evaluate``: accuracy of the float model, of the integers and of the Verilog in one table."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from hwgen.accuracy import Accuracy, Row, measure
from hwgen.class_accuracy import ClassAccuracy, ClassRow, measure_classes
from hwgen.class_folders import ClassFolders, class_folders, classifier_of
from hwgen.cli.console import OUT, PROGRESS, tell
from hwgen.cli.exit_codes import MISMATCH
from hwgen.cli.options import (
    DEFAULT_FIT,
    FIT,
    ArchName,
    BoardName,
    BuildFolder,
    JsonFile,
    LabelsFile,
    WeightBits,
    networks,
)
from hwgen.cli.progress import Progress
from hwgen.cli.report_file import write_json
from hwgen.frontend.evaluate import scored_tasks
from hwgen.pipeline import build_folder
from hwgen.request import InputError, fit_of, labels_for, resolve, writable_folder
from hwgen.spec.design import Design
from hwgen.spec.graph_model import Model

Found = TypeVar("Found", Row, ClassRow)
DEFAULT_MODEL = "m3vit-micro"
DEFAULT_SCENES = 200
MOST_SCENES, MOST_PICTURES = 10_000, 1_000_000
COLUMNS = ("scenes", "mIoU", "depth RMSE m", "values compared", "RTL != golden")
CLASS_COLUMNS = ("pictures", "top-1", "top-5", "values compared", "RTL != golden")


def _figure(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def row_cells(row: Row) -> tuple[str, ...]:
    """One line of the table of scenes as text."""
    quality = row.quality
    return (
        row.model,
        str(row.scenes),
        _figure(quality.miou, ".4f"),
        _figure(quality.depth_rmse, ".4f"),
        _figure(row.values, ","),
        _figure(row.mismatches, ","),
    )


def class_cells(row: ClassRow) -> tuple[str, ...]:
    """One line of the table of labelled pictures as text."""
    counts = _figure(row.values, ","), _figure(row.mismatches, ",")
    return (row.model, f"{row.pictures:,}", f"{row.top1:.2%}", f"{row.top5:.2%}", *counts)


def accuracy_table(title: str, columns: Sequence[str], lines: Iterable[tuple[tuple[str, ...], int | None]]) -> Table:
    """Every model on its images: cells, and how many values differ from golden."""
    table = Table(title=Text(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right")
    for cells, mismatches in lines:
        table.add_row(*cells, style="red" if mismatches else None)
    return table


def _closing(design: Design, rtl: Row | ClassRow | None, images: str) -> str:
    """What the table comes to, in one sentence."""
    if rtl is None:
        return "the Verilog was not run (--rtl-scenes 0)"
    where = f"on {design.board.name} (arch {design.arch.name})"
    if rtl.mismatches:
        return f"RTL {where} differs from golden in {rtl.mismatches:,} of {rtl.values:,} values"
    return f"RTL {where} equals golden in all {rtl.values:,} values of its {images}"


def _rtl(rows: Sequence[Found]) -> Found | None:
    """The line of the RTL, if there is one."""
    return next((row for row in rows if row.model == "RTL"), None)


def _checked(config: Model) -> None:
    """Refuse a network whose predictions nothing is known about."""
    if not any(scored_tasks(config)):
        tasks = ", ".join(f"{t.name} ({t.kind}, {t.classes})" for t in config.tasks)
        ways = "compare this network with its float model by hwgen verify"
        if any(task.kind == "classification" for task in config.tasks):
            ways += ", or give pictures of its classes by --data FOLDER"
        raise InputError(
            f"{config.name}: has the tasks {tasks}; the scenes have labels for a segmentation task of 5 classes and a"
            f" depth task: {ways}"
        )


def _named(name: str | None, model: str | None) -> str:
    if name is not None and model is not None and name != model:
        raise InputError(f"{name} and --model {model}: give the network once")
    return name or model or DEFAULT_MODEL


def _refuse(options: Mapping[str, object], why: str) -> None:
    """Refuse options that would be ignored."""
    given = next((name for name, value in options.items() if value is not None), None)
    if given is not None:
        raise InputError(f"{given}: {why}")


def _on_scenes(design: Design, folder: Path, scenes: int, rtl_scenes: int) -> Accuracy:
    """Measure on generated scenes; print the table."""
    if scenes > MOST_SCENES:
        raise InputError(f"--scenes {scenes}: give at most {MOST_SCENES:,}")
    with Progress(PROGRESS) as say:
        found = measure(design, folder, scenes, rtl_scenes, say)
    lines = [(row_cells(row), row.mismatches) for row in found.rows]
    OUT.print(accuracy_table(f"{design.model.name} on held-out scenes", COLUMNS, lines))
    rtl = _rtl(found.rows)
    tell(_closing(design, rtl, f"{rtl.scenes if rtl else 0} scenes"))
    mean = found.rows[0].quality.depth_rmse_mean_predictor
    OUT.print(f"predicting the mean depth everywhere: RMSE {mean:.4f} m", markup=False, highlight=False)
    return found


def _on_pictures(
    design: Design, folder: Path, data: ClassFolders, images: int | None, rtl_images: int
) -> ClassAccuracy:
    """Measure on labelled pictures; print the table."""
    with Progress(PROGRESS) as say:
        found = measure_classes(design, folder, data, images, rtl_images, say)
    lines = [(class_cells(row), row.mismatches) for row in found.rows]
    OUT.print(accuracy_table(f"{design.model.name}, task {data.task.name}, on {data.folder}", CLASS_COLUMNS, lines))
    rtl = _rtl(found.rows)
    if found.note:
        tell(found.note)
    tell(_closing(design, rtl, f"{rtl.pictures if rtl else 0:,} pictures"))
    return found


def evaluate_command(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME|FILE]", help="Network; m3vit-micro when not given.", autocompletion=networks),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME|FILE", help="The same as an option.", autocompletion=networks),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="FOLDER", help="Pictures of your own, FOLDER/CLASS/picture: top-1 and top-5."),
    ] = None,
    labels: LabelsFile = None,
    fit: Annotated[str | None, FIT] = None,
    task: Annotated[
        str | None, typer.Option("--task", metavar="TASK", help="Of --data: which classification; the first if not.")
    ] = None,
    scenes: Annotated[
        int | None,
        typer.Option(
            "--scenes",
            "--images",
            min=1,
            max=MOST_PICTURES,
            help="Scenes (200), or pictures of --data (all), for the float and the golden model.",
        ),
    ] = None,
    rtl_scenes: Annotated[
        int,
        typer.Option("--rtl-scenes", "--rtl-images", min=0, max=MOST_SCENES, help="The same for the Verilog; 0: none."),
    ] = 10,
    board: BoardName = "zcu102",
    arch: ArchName = None,
    weights: WeightBits = None,
    output: BuildFolder = None,
    json_file: JsonFile = None,
) -> None:
    """Measure the float model, golden and the Verilog on held-out scenes, or on labelled pictures of your own."""
    design = resolve(board, _named(name, model), arch, weights)
    folder = output or build_folder(design)
    if data is None:
        _refuse({"--labels": labels, "--fit": fit, "--task": task}, "is for pictures of your own; give --data FOLDER")
        _checked(design.model)
        writable_folder(folder, "--output")
        found = _on_scenes(design, folder, scenes or DEFAULT_SCENES, rtl_scenes)
    else:
        wanted = classifier_of(design.model, task)
        names = labels_for(labels, design.model, [wanted])
        pictures = class_folders(data, design.model, wanted, names, fit_of(fit or DEFAULT_FIT))
        writable_folder(folder, "--output")
        found = _on_pictures(design, folder, pictures, scenes, rtl_scenes)
    write_json(json_file, found.as_dict())
    if found.mismatches:
        raise typer.Exit(MISMATCH)
