"""The page of the side-car, and the JSON Schemas of all JSON files that hwgen writes."""

import json

from pydantic import BaseModel

from hwgen.emit.machine import SIDECAR_FILE
from hwgen.store.report_schema import REPORTS
from hwgen.store.schema_rows import rows
from hwgen.store.sidecar_schema import SideCar
from website.tables import escaped, table

SIDECAR = "side-car"
FOLDER = "reference/schemas"


def records() -> dict[str, type[BaseModel]]:
    """Name of a schema -> the record that declares it."""
    return {SIDECAR: SideCar, **REPORTS}


def schema_files() -> dict[str, str]:
    """Path in the site -> text of a JSON Schema."""
    return {
        f"{FOLDER}/{name}.schema.json": json.dumps(record.model_json_schema(), indent=1) + "\n"
        for name, record in records().items()
    }


def page() -> str:
    """The page, Markdown."""
    links = [(f"`{name}`", f"[{name}.schema.json](schemas/{name}.schema.json)") for name in records()]
    found = [(name, kind, escaped(meaning)) for name, kind, meaning in rows(SideCar)]
    return f"""\
# Side-car and JSON Schemas

`hwgen build` writes `{SIDECAR_FILE}` beside the Verilog: what other tools must know of the machine, so that
nobody types a list of ports, registers or fields again. `.*` stands for any name, `[]` for every entry.

{table(("key", "type", "meaning"), found)}
## Schemas

Of the side-car, and of what every command writes with `--json` ([reports](../reports.md)):

{table(("file", "JSON Schema"), links)}"""
