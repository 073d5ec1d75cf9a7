"""The page of the command line, from the commands themselves."""

from typing import Any

import typer.main

from hwgen.cli import exit_codes
from hwgen.cli.main import app
from website.docstrings import summary
from website.tables import escaped, table

INTRODUCTION = f"""\
# Commands

`hwgen COMMAND --help` prints the same. Exit code 0 is good, {exit_codes.MISMATCH} a mismatch or a machine that stopped
with an error, {exit_codes.BAD_INPUT} bad input or a missing tool, 128 + n the end by signal n. What `--json` writes:
[reports](../reports.md).
"""


def _names(parameter: Any) -> str:
    words = [*parameter.opts, *parameter.secondary_opts] if parameter.param_type_name == "option" else []
    if parameter.param_type_name == "argument" or not getattr(parameter, "is_flag", False):
        words.append(parameter.metavar or parameter.name.upper())
    return " ".join(words)


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if parameter.default is None or parameter.default is False or callable(parameter.default):
        return ""
    return f"`{parameter.default}`"


def _rows(command: Any) -> list[tuple[str, str, str]]:
    shown = [item for item in command.params if not getattr(item, "hidden", False) and item.name != "help"]
    return [(f"`{_names(item)}`", escaped(getattr(item, "help", "") or ""), _default(item)) for item in shown]


def page() -> str:
    """The page, Markdown."""
    group: Any = typer.main.get_command(app)
    parts = [INTRODUCTION]
    overall = _rows(group)
    if overall:
        parts.append("## Options of every command\n\n" + table(("option", "meaning", "default"), overall))
    for name, command in group.commands.items():
        if getattr(command, "hidden", False):
            continue
        rows = table(("argument or option", "meaning", "when not given"), _rows(command)) or "No options.\n"
        parts.append(f"## hwgen {name}\n\n{summary(command.help)}\n\n{rows}")
    return "\n".join(parts)
