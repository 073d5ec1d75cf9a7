"""transformers' ``preprocessor_config.json`` beside a checkpoint: how pixels are normalised."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hwgen.frontend.importers.beside import read_object
from hwgen.frontend.importers.checkpoint import CheckpointError
from hwgen.frontend.importers.described import LARGEST, shown

PREPROCESSOR = "preprocessor_config.json"
_OPTIONS = {"mean": "image_mean", "std": "image_std"}
# Entry -> values with which pixels are (p / 255 - mean) / std, the one to use first.
_RULE: dict[str, tuple[Any, ...]] = {
    "do_rescale": (True, None),
    "rescale_offset": (False, None),
    "do_flip_channel_order": (False, None),
    "do_grayscale": (False, None),
}
_FULL = 255.0


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """What the file says; nothing where there is none."""

    label: str
    values: Mapping[str, tuple[float, ...]]  # mean, std

    def fault(self, text: str) -> CheckpointError:
        """A refusal."""
        return CheckpointError(f"{self.label}: {text}")


def _numbers(value: Any) -> tuple[float, ...] | None:
    """One number, or one a colour; None of anything else."""
    values = cast("list[Any]", value if isinstance(value, list) else [value])
    numbers = [x for x in values if isinstance(x, int | float) and not isinstance(x, bool) and abs(x) < LARGEST]
    if len(values) not in (1, 3) or len(numbers) != len(values):
        return None
    return tuple(float(x) for x in values)


def read_pixels(folder: Path) -> Pixels:
    """The file in a folder; CheckpointError names an entry with which pixels become something else."""
    path = folder / PREPROCESSOR
    if not path.exists():
        return Pixels(label=str(path), values={})
    data, nothing = read_object(path), Pixels(label=str(path), values={})
    for name, values in _RULE.items():
        if data.get(name) not in values:
            raise nothing.fault(f"{name} = {shown(data[name])}: pixels are taken with {name} = {shown(values[0])}")
    factor = _numbers(data.get("rescale_factor", 1 / _FULL))
    if factor is None or len(factor) != 1 or abs(factor[0] * _FULL - 1.0) > 1e-6:
        raise nothing.fault(f"rescale_factor = {shown(data['rescale_factor'])}: the machine divides pixels by 255")
    if data.get("do_normalize") is False:
        return Pixels(label=str(path), values={"mean": (0.0,), "std": (1.0,)})
    found: dict[str, tuple[float, ...]] = {}
    for option, name in _OPTIONS.items():
        if data.get(name) is not None:
            numbers = _numbers(data[name])
            if numbers is None:
                raise nothing.fault(f"{name} = {shown(data[name])}, expected three numbers")
            found[option] = numbers
    return Pixels(label=str(path), values=found)
