"""Data that ships with the package: board files and templates, found in a checkout, an editable install and a wheel."""

import importlib.util
from pathlib import Path
from typing import Literal


def data_folder(name: Literal["boards", "rtl_templates"]) -> Path:
    """The folder of the data package ``name``; each is a top-level package that holds nothing but data."""
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    checkout = Path(__file__).resolve().parents[2] / name
    if checkout.is_dir():
        return checkout
    raise FileNotFoundError(f"data folder {name!r} is neither an installed package nor at {checkout}; reinstall hwgen")
