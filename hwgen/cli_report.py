"""The option ``--json`` of every command."""

from pathlib import Path
from typing import Annotated

import typer

from hwgen.report_file import OPTION, remove_report
from hwgen.request import writable_file
from hwgen.spec.output_file import STDOUT


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
