"""Files of JSON that lie beside a checkpoint and describe it."""

import json
from pathlib import Path
from typing import Any, cast

from hwgen.frontend.importers.checkpoint import CheckpointError

CONFIG = "config.json"  # timm's and transformers' own, of different contents


def read_object(path: Path) -> dict[str, Any]:
    """The object in a file; CheckpointError if it holds anything else."""
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: no readable JSON ({error}); mend it or move it away") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path}: holds a {type(found).__name__}, expected an object; mend it or move it away")
    return cast("dict[str, Any]", found)
