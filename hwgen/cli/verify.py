"""The commands ``hwgen verify`` and ``hwgen demo``."""

from pathlib import Path
from typing import Annotated

import typer

from hwgen.cli.console import OUT, PROGRESS, tell, warn
from hwgen.cli.exit_codes import MISMATCH
from hwgen.cli.options import (
    DEFAULT_FIT,
    ArchName,
    BoardName,
    BuildFolder,
    FitOption,
    JsonFile,
    LabelsFile,
    ModelName,
    Seed,
    WeightBits,
)
from hwgen.cli.progress import Progress
from hwgen.cli.report_file import write_json
from hwgen.cli.tables import verification_lines
from hwgen.driver.device import MachineError
from hwgen.pipeline import WAVES_FOLDER, Wanted, build_folder, flipped_layer, verify
from hwgen.report.agreement import tensor_table
from hwgen.report.classification import classification_table
from hwgen.report.picture import save
from hwgen.report.tensor_file import save_tensors
from hwgen.report.verification import Verification
from hwgen.request import (
    MOST_IMAGES,
    VerifyRequest,
    fit_of,
    labels_for,
    not_both,
    pictures_for,
    read_files,
    resolve,
    tasks_of,
    writable_file,
    writable_folder,
)

DEMO_SEED = 30  # a scene with every class
DEMO_PICTURE = Path("build") / "demo.png"


def verify_command(
    board: BoardName,
    model: ModelName = "m3vit-micro",
    arch: ArchName = None,
    weights: WeightBits = None,
    image: Annotated[
        Path | None, typer.Option("--image", metavar="FILE|FOLDER", help="A picture, or all pictures of a folder.")
    ] = None,
    fit: FitOption = DEFAULT_FIT,
    task: Annotated[str | None, typer.Option("--task", metavar="TASK|all", help="First task when not given.")] = None,
    images: Annotated[
        int | None,
        typer.Option(
            "--images", min=1, max=MOST_IMAGES, help="How many generated scenes (1), or pictures of the folder (all)."
        ),
    ] = None,
    seed: Seed = 0,
    labels: LabelsFile = None,
    waves: Annotated[
        bool, typer.Option("--waves", help="Also write a waveform (VCD): slow, some 50 KB a cycle.")
    ] = False,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Spoil one bit of the weights for the RTL; succeed if that is noticed.")
    ] = False,
    picture: Annotated[Path | None, typer.Option("--picture", metavar="FILE.png", help="Draw input and maps.")] = None,
    tensors: Annotated[
        Path | None, typer.Option("--save-tensors", metavar="FILE.npz", help="Every tensor of RTL, golden and float.")
    ] = None,
    output: BuildFolder = None,
    json_file: JsonFile = None,
) -> None:
    """Send images through the Verilog and compare every tensor with the golden model, bit for bit."""
    request = VerifyRequest(
        board=board,
        model=model,
        arch=arch,
        weights=weights,
        image=image,
        fit=fit,
        task=task,
        images=images,
        seed=seed,
        labels=labels,
        waves=waves,
        self_test=self_test,
        picture=picture,
        tensors=tensors,
        output=output,
    )
    run_request(request, json_file)


def demo_command(
    board: BoardName = "zcu102",
    model: ModelName = "m3vit-micro",
    seed: Seed = DEMO_SEED,
    json_file: JsonFile = None,
) -> None:
    """Build, verify every task on a generated scene, print the table and draw the picture (build/demo.png)."""
    DEMO_PICTURE.parent.mkdir(exist_ok=True)
    run_request(VerifyRequest(board=board, model=model, task="all", seed=seed, picture=DEMO_PICTURE), json_file)


def run_request(request: VerifyRequest, json_file: Path | None) -> None:
    """Do what was asked for; print and write what was found. typer.Exit when the answer is no."""
    writable_file(request.picture, "--picture")
    writable_file(request.tensors, "--save-tensors")
    read = read_files(request)
    not_both(request.picture, read, "--picture")
    not_both(request.tensors, [*read, *([] if request.picture is None else [request.picture])], "--save-tensors")
    not_both(json_file, read)
    design = resolve(request.board, request.model, request.arch, request.weights)
    folder = request.output or build_folder(design)
    writable_folder(folder, "--output")
    tasks = tasks_of(design.model, request.task)
    labels = labels_for(request.labels, design.model, tasks)
    pictures = pictures_for(design.model, request.image, request.images, request.seed, fit_of(request.fit))
    wanted = Wanted(
        images=pictures.images,
        tasks=tasks,
        waves=request.waves,
        self_test=request.self_test,
        image_names=pictures.names,
        labels=labels,
    )
    if pictures.note:
        tell(pictures.note)
    try:
        with Progress(PROGRESS) as say:
            found = verify(design, folder, wanted, say)
    except MachineError as error:
        raise typer.Exit(_stopped(error, request.self_test, json_file)) from error
    show_verification(found, folder, wanted, request.picture)
    if request.tensors is not None:
        save_tensors(found, request.tensors)
        tell(f"tensors: {request.tensors}")
    extra = {"self_test": True, "caught": found.mismatches > 0} if request.self_test else {}
    write_json(json_file, found.report() | extra)
    if request.self_test:
        noticed = "noticed" if found.mismatches else "NOT NOTICED"
        text = f"self-test: one spoilt bit in the weights of {flipped_layer(design.model)} was {noticed}"
        OUT.print(text, markup=False, highlight=False)
        raise typer.Exit(0 if found.mismatches else MISMATCH)
    if not found.good:
        raise typer.Exit(MISMATCH)


def _stopped(error: MachineError, self_test: bool, json_file: Path | None) -> int:
    """Report that the machine stopped with an error, which is what a self-test hopes for; the exit code."""
    warn(f"{'caught: ' if self_test else 'error: '}{error}")
    failed = {} if self_test else {"error": str(error)}
    write_json(json_file, {"self_test": self_test, "caught": self_test, "machine_error": str(error)} | failed)
    return 0 if self_test else MISMATCH


def show_verification(found: Verification, folder: Path, wanted: Wanted, picture: Path | None) -> None:
    """Table, totals and picture of a verification."""
    OUT.print(tensor_table(found.tensors(), f"{found.design.network} on {found.design.board.name}"))
    answers = found.classifications()
    if answers:
        OUT.print(classification_table(answers))
    for line in verification_lines(found):
        tell(line)
    for warning in found.warnings():
        warn(f"warning: {warning}")
    if wanted.waves:
        tell(f"waveform: {folder / WAVES_FOLDER / 'dump.vcd'}")
    if picture is not None:
        save(found.picture(), picture)
        tell(f"picture: {picture}")
