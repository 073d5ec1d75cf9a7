"""Pictures that leave the calibrated range of a tensor: how many values are cut at its end, and what that costs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwgen.frontend.activation_input import input_limit
from hwgen.frontend.layers.formats import Format, tensor_formats
from hwgen.frontend.scaling import Array
from hwgen.frontend.sensitivity import decibels, float_tensors
from hwgen.spec.graph import Network

CUT_SHARE = 1e-3  # of a tensor's power: what is cut alone leaves 30 dB, less than all roundings of a usual picture
SHOWN = 5  # tensors that a warning lists
SHOWN_RUNS = 3  # pictures and tasks that get one


@dataclass(frozen=True, kw_only=True)
class Excess:
    """One tensor of one picture under one task that lies outside its range."""

    name: str
    outside: int  # values beyond the largest code
    values: int
    largest: float  # magnitude, at the end that is passed by more
    limit: float  # magnitude of the value where the range ends there
    cut: float  # power of what lies beyond, relative to the tensor's
    at_gelu: bool  # the format of GELU's input ends here, whatever the scale: no calibration moves it

    def __str__(self) -> str:
        """Tensor, count, magnitude and what is left when nothing else goes wrong."""
        what = "input of GELU" if self.at_gelu else "range"
        return (
            f"{self.name}: {self.outside:,} of {self.values:,} values outside, up to {self.largest:.3g} where"
            f" the {what} ends at {self.limit:.3g}, leaves {decibels(1.0, self.cut):.1f} dB"
        )


def _excess(name: str, real: Array, code: tuple[float, int], form: Format, cut: float) -> Excess:
    """``code``: scale and zero point. ``cut``: where the input of the activation function ends."""
    scale, zero = code
    low, high = (-form.largest - 0.5 - zero) * scale, (form.largest + 0.5 - zero) * scale
    at_gelu = form.behind_gelu and high >= cut
    if at_gelu:
        high = cut
    least, most = float(real.min()), float(real.max())
    largest, limit = (most, high) if most - high >= low - least else (-least, -low)
    beyond = np.maximum(np.maximum(real - high, low - real), 0.0)
    power = float(np.square(real).sum())
    return Excess(
        name=name,
        outside=int((beyond > 0.0).sum()),
        values=int(real.size),
        largest=largest,
        limit=limit,
        cut=float(np.square(beyond).sum()) / power if power else 0.0,
        at_gelu=at_gelu,
    )


def excesses(
    tensors: Mapping[str, Array], scales: Mapping[str, float], zeros: Mapping[str, int], network: Network
) -> list[Excess]:
    """Tensors of a float model that lose more than `CUT_SHARE` of their power at the ends of their ranges, worst first.

    ``tensors`` are those of one picture and task, with details; ``scales`` and ``zeros`` the package's.
    """
    named, formats = float_tensors(tensors, network), tensor_formats(network)
    found = [
        _excess(name, real, (scales[name], zeros.get(name, 0)), formats[name], input_limit(scales))
        for name, real in named.items()
        if name in scales and name in formats
    ]
    return sorted((item for item in found if item.cut > CUT_SHARE), key=lambda item: -item.cut)


def excess_warnings(
    runs: Iterable[tuple[str, Mapping[str, Array]]],
    scales: Mapping[str, float],
    zeros: Mapping[str, int],
    network: Network,
) -> list[str]:
    """A paragraph for each of the worst runs that leave the range of a tensor, and how many more do.

    ``runs`` are pictures under a task, by name, with their float tensors.
    """
    left = [(what, found) for what, tensors in runs if (found := excesses(tensors, scales, zeros, network))]
    left.sort(key=lambda run: -run[1][0].cut)
    said = [_text(what, found) for what, found in left[:SHOWN_RUNS]]
    more = len(left) - SHOWN_RUNS
    return said + ([f"{more} more pictures and tasks leave calibrated ranges, too"] if more > 0 else [])


def _text(what: str, found: Sequence[Excess]) -> str:
    tensors = "a tensor" if len(found) == 1 else f"{len(found)} tensors"
    lines = [f"{what} leaves the calibrated range of {tensors}, where the machine cuts:"]
    lines += [f"  {item}" for item in found[:SHOWN]]
    if len(found) > SHOWN:
        lines.append(f"  and {len(found) - SHOWN} more; {sum(item.outside for item in found):,} values in all")
    if not all(item.at_gelu for item in found):
        lines.append("  calibrate with pictures like it: hwgen quantize --calib FOLDER")
    return "\n".join(lines)
