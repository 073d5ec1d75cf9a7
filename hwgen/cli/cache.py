"""The command ``hwgen cache``: what is kept between runs, and how to be rid of it."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from hwgen.cli.console import OUT, tell
from hwgen.cli.options import JsonFile
from hwgen.cli.report_file import write_json
from hwgen.request import InputError
from hwgen.spec.shown import nearest, shown
from hwgen.store.cache import KINDS, MIB, VARIABLE, Usage, cache_folder, clear, usage

ALL = "all"


def cache_command(
    remove: Annotated[
        str | None,
        typer.Option("--clear", metavar="|".join((ALL, *KINDS)), help="Remove what is kept; it is made again."),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Show where Verilog, simulators, networks and float results are kept between runs, and how large they are."""
    if remove is not None and remove not in (ALL, *KINDS):
        raise InputError(f"--clear {shown(remove)}: no such kind{nearest(remove, (ALL, *KINDS))}")
    gone = [clear(kind) for kind in KINDS if remove in (ALL, kind)] if remove is not None else []
    left = usage()
    OUT.print(_table(left))
    if gone:
        count = sum(item.entries for item in gone)
        tell(f"removed {count:,} {'entry' if count == 1 else 'entries'}, {_mib(sum(item.bytes for item in gone))} MiB")
    tell(f"{cache_folder()} ({VARIABLE} names another folder)")
    removed = {"removed": [asdict(item) for item in gone]} if remove is not None else {}
    write_json(json_file, {"folder": str(cache_folder()), "kinds": [asdict(item) for item in left]} | removed)


def _mib(size: int) -> str:
    return f"{size / MIB:,.1f}"


def _table(kinds: list[Usage]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("kind", "what"):
        table.add_column(name)
    for name in ("entries", "MiB", "limit"):
        table.add_column(name, justify="right")
    for item in kinds:
        limit = "" if (most := KINDS[item.kind].limit_mib) is None else f"{most:,}"
        table.add_row(item.kind, item.meaning, f"{item.entries:,}", _mib(item.bytes), limit)
    table.add_section()
    total = [sum(item.entries for item in kinds), sum(item.bytes for item in kinds)]
    table.add_row("all", "", f"{total[0]:,}", _mib(total[1]), "")
    return table
