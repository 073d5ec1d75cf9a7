"""Where the files lie that ship beside the code: boards and templates, in a checkout and in an installed wheel."""

import sysconfig
from pathlib import Path


def resource_folder(name: str) -> Path:
    """The folder ``boards`` or ``rtl_templates``; FileNotFoundError says where it was looked for."""
    places = (Path(__file__).parents[1] / name, Path(sysconfig.get_path("data")) / "share" / "hwgen" / name)
    for place in places:
        if place.is_dir():
            return place
    raise FileNotFoundError(f"folder {name!r} is missing; looked in {' and '.join(str(place) for place in places)}")
