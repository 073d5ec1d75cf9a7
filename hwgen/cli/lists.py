"""The commands ``hwgen doctor``, ``models`` and ``boards``: what is there."""

import typer

from hwgen.cli.console import OUT, warn
from hwgen.cli.exit_codes import BAD_INPUT
from hwgen.cli.options import JsonFile
from hwgen.cli.report_file import write_json
from hwgen.cli.tables import board_table, doctor_table, model_table
from sim.toolchain import doctor


def doctor_command(json_file: JsonFile = None) -> None:
    """Look for every tool and say how to install what is missing."""
    findings = doctor()
    missing = [item for item in findings if not item.found and not item.optional]
    OUT.print(doctor_table(findings))
    write_json(json_file, {"tools": [item.as_dict() for item in findings], "missing": [item.tool for item in missing]})
    for item in missing:
        warn(f"missing: {item.tool} ({item.purpose}); install it with: {item.install}")
    if missing:
        raise typer.Exit(BAD_INPUT)


def models_command(json_file: JsonFile = None) -> None:
    """List the networks that need no file."""
    table, rows = model_table()
    OUT.print(table)
    write_json(json_file, {"models": rows})


def boards_command(json_file: JsonFile = None) -> None:
    """List the boards."""
    table, rows = board_table()
    OUT.print(table)
    write_json(json_file, {"boards": rows})
