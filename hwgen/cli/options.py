"""Options that several commands share: one name, one meaning, one help text."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer

from hwgen.cli.report_file import OPTION, remove_report
from hwgen.frontend.pictures import FITS
from hwgen.frontend.ranges import DEFAULT_PERCENTILE, RULES
from hwgen.frontend.rule_choice import HELD_OUT
from hwgen.request import LARGEST_SEED, writable_file
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.presets import MODELS
from hwgen.store.boards import board_names
from hwgen.store.output_file import STDOUT


def begin_report(path: Path | None) -> Path | None:
    """Check that the result can be written at the end, and remove that of an earlier run."""
    if path is None or path == STDOUT:
        return path
    writable_file(path, OPTION)
    remove_report(path)
    return path


JsonFile = Annotated[
    Path | None,
    typer.Option(
        OPTION,
        metavar="FILE|-",
        callback=begin_report,
        help="Also write the result as JSON; -: to standard output, and the tables to standard error.",
    ),
]


def _beginning(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """For the completion of a shell: those of some names that begin as the word does; without any it lists files."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names() if name.startswith(incomplete)]

    return complete


BoardName = Annotated[
    str,
    typer.Option("--board", metavar="NAME", help="Board; see hwgen boards.", autocompletion=_beginning(board_names)),
]
ArchName = Annotated[
    str | None,
    typer.Option(
        "--arch",
        metavar="PRESET|FILE.yaml",
        help="Machine; the board's own when not given.",
        autocompletion=_beginning(lambda: ARCHS),
    ),
]
networks = _beginning(lambda: MODELS)
NETWORK_HELP = "Network: a preset (hwgen models), a package (hwgen import), or a YAML file that describes one."
ModelName = Annotated[str, typer.Option("--model", metavar="NAME|FILE", help=NETWORK_HELP, autocompletion=networks)]
Network = Annotated[str, typer.Argument(metavar="NAME|FILE", help=NETWORK_HELP, autocompletion=networks)]
WeightBits = Annotated[
    str | None,
    typer.Option("--weights", metavar="WHAT=BITS,..", help="Four-bit weights for some layers, such as experts=4."),
]
BuildFolder = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="DIR", help="Build folder; below build/ when not given.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, max=LARGEST_SEED, help="Which generated scenes.")]
FIT = typer.Option(
    "--fit", metavar="|".join(FITS), help="Pictures of another size: cut around the middle, padded, or refused."
)
DEFAULT_FIT = FITS[0]
FitOption = Annotated[str, FIT]
LabelsFile = Annotated[
    Path | None,
    typer.Option("--labels", metavar="FILE", help="Names of the classes: a line each, or JSON (list, or index: name)."),
]
RuleOption = Annotated[
    str,
    typer.Option(
        "--calibration-rule",
        metavar="|".join((HELD_OUT, *RULES)),
        help="Clipping range of activations; held-out: the rule that does best on pictures held out.",
    ),
]
PercentileOption = Annotated[
    float | None,
    typer.Option(
        "--percentile", metavar="P", help=f"Of magnitudes, for that rule; {DEFAULT_PERCENTILE:g} if not given."
    ),
]
CorrectionOption = Annotated[
    bool, typer.Option("--bias-correction", help="Move biases by the mean error of rounded weights.")
]
OverridesOption = Annotated[
    Path | None, typer.Option("--overrides", metavar="FILE.yaml", help="Tensor name -> rule, scale or clip.")
]
CalibrationImages = Annotated[int, typer.Option("--calib-images", min=1, max=1000, help="How many of them.")]
DeadChannels = Annotated[bool, typer.Option("--allow-dead-channels", help="Let weights without variance pass.")]
PackageFolder = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where the two files go.")]
