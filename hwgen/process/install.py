"""The command that installs an optional part of hwgen. The project is on no package index: its name alone is none."""

import importlib.metadata
import shlex
import sys
import tomllib
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]  # the project's folder when this file is not in a wheel


def install_hint(extra: str) -> str:
    """A pip command for what the extra ``extra`` names.

    A checkout is installed again with the extra; of a wheel, the requirements of the extra are named.
    """
    pip = f"{shlex.quote(sys.executable)} -m pip install"
    if _is_checkout(CHECKOUT):
        return f"{pip} -e {shlex.quote(f'{CHECKOUT}[{extra}]')}"
    return " ".join([pip, *map(shlex.quote, _requirements(extra))])


def _is_checkout(folder: Path) -> bool:
    """Whether a folder holds the sources of hwgen."""
    try:
        found = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    project: object = found.get("project")
    return isinstance(project, dict) and "hwgen" in project.values()


def _requirements(extra: str) -> list[str]:
    """What the metadata of the installed wheel wants for an extra."""
    parts = [item.partition(";") for item in importlib.metadata.requires("hwgen") or ()]
    return [item.strip() for item, _, marker in parts if f"extra == '{extra}'" in marker.replace('"', "'")]
