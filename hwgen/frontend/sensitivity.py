"""What storing each tensor in its format costs: a table of range, scale, error and clipping, worst tensor first.

An activation is judged twice, over images and tasks together. ``format_db`` is the signal to noise ratio when only this
tensor is rounded and clipped: the damage that its own scale does, by which the table is sorted. ``golden_db`` is that
of the golden model, with the errors of every tensor before it. A weight is judged by its own rounding, one scale per
output channel. Scores are left out: a shift of a whole row of them changes nothing, so that no ratio tells their error.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.network import chosen_rows, run_network
from golden.reference.m3vit_float import Arrays, FloatModel, Tensors
from hwgen.frontend.layers.formats import code_names, tensor_formats
from hwgen.frontend.scaling import Array, FloatArray
from hwgen.spec.graph import Network
from hwgen.spec.package import QuantisedModel

_PERFECT_DB = 999.0  # of a tensor without error, so that reports stay numbers


@dataclass(frozen=True, kw_only=True)
class TensorDamage:
    """One line of the table."""

    name: str
    kind: str  # activation or weight
    low: float  # smallest float value
    high: float  # largest float value
    scale: float  # real value of one code; a weight's largest channel scale
    zero: int  # code of the value 0
    format_db: float  # signal to noise ratio of the format alone, decibels
    cosine: float  # of the angle between the float tensor and the same in its format
    clipped: float  # share of float values beyond the largest code, 0..1
    golden_db: float | None  # signal to noise ratio of the golden model's tensor; None where it has none to compare

    def as_dict(self) -> dict[str, Any]:
        """For a JSON report."""
        return asdict(self)


def decibels(signal: float, noise: float) -> float:
    """Ratio of two powers; 999 without noise, -999 without signal."""
    if noise == 0.0:
        return _PERFECT_DB
    return 10.0 * float(np.log10(signal / noise)) if signal > 0.0 else -_PERFECT_DB


class _Sums:
    """Powers and products of one tensor over every image and task."""

    def __init__(self) -> None:
        self.low, self.high = np.inf, -np.inf
        self.values = self.clipped = 0
        self.signal = self.noise = self.power = self.product = 0.0
        self.golden_noise: float | None = None

    def add(self, real: FloatArray, stored: FloatArray, ends: tuple[float, float]) -> None:
        """Take in a float tensor, the same in its format, and the smallest and the largest value of the format."""
        self.low, self.high = min(self.low, float(real.min())), max(self.high, float(real.max()))
        self.values += real.size
        self.clipped += int(((real < ends[0]) | (real > ends[1])).sum())
        self.signal += float(np.square(real).sum())
        self.noise += float(np.square(stored - real).sum())
        self.power += float(np.square(stored).sum())
        self.product += float((stored * real).sum())

    def add_golden(self, real: FloatArray, golden: FloatArray) -> None:
        """Take in what the golden model has in the place of a float tensor."""
        self.golden_noise = (self.golden_noise or 0.0) + float(np.square(golden - real).sum())

    def line(self, name: str, kind: str, scale: float, zero: int = 0) -> TensorDamage:
        """The finished line."""
        lengths = float(np.sqrt(self.signal * self.power))
        return TensorDamage(
            name=name,
            kind=kind,
            low=self.low,
            high=self.high,
            scale=scale,
            zero=zero,
            format_db=decibels(self.signal, self.noise),
            cosine=self.product / lengths if lengths else 0.0,
            clipped=self.clipped / self.values,
            golden_db=None if self.golden_noise is None else decibels(self.signal, self.golden_noise),
        )


def float_tensors(tensors: Mapping[str, Array], network: Network) -> Tensors:
    """Float tensors under the names of the scales: hidden units of all experts have one."""
    names = code_names(network)
    return {names.get(name, name): tensor for name, tensor in tensors.items()}


def _activations(
    package: QuantisedModel, arrays: Arrays, images: Sequence[NDArray[np.uint8]], *, golden: bool
) -> list[TensorDamage]:
    network = package.config.network
    model, formats = FloatModel(arrays, package.config, details=True), tensor_formats(network)
    zeros = package.zeros
    sums: defaultdict[str, _Sums] = defaultdict(_Sums)
    for image in images:
        for task in package.config.tasks:
            found = run_network(package, image, task.name) if golden else {}
            chosen = chosen_rows(found, network, task.name) if golden else {}
            for name, real in float_tensors(model.run(image, task.name, chosen), network).items():
                scale = package.scales.get(name)
                if scale is None or name not in formats:
                    continue
                limit, zero = formats[name].largest, zeros.get(name, 0)
                codes = np.minimum(np.maximum(np.round(real / scale) + zero, -limit), limit) - zero
                sums[name].add(real, codes * scale, ((-limit - 0.5 - zero) * scale, (limit + 0.5 - zero) * scale))
                if name in found and found[name].shape == real.shape:
                    sums[name].add_golden(real, (found[name] - zero) * scale)
    return [total.line(name, "activation", package.scales[name], zeros.get(name, 0)) for name, total in sums.items()]


def _channel_scales(real: FloatArray, codes: FloatArray) -> FloatArray:
    """Least-squares scale of every output channel [.., 1]; 0 of a channel whose codes are zero."""
    squares = np.square(codes).sum(axis=-1, keepdims=True)
    return (real * codes).sum(axis=-1, keepdims=True) / np.where(squares == 0.0, 1.0, squares)


def _weights(package: QuantisedModel, arrays: Arrays) -> list[TensorDamage]:
    lines: list[TensorDamage] = []
    for name in (f"{layer}.weight" for layer in package.config.network.linears):
        real: Array = np.asarray(arrays[name], dtype=np.float64)
        codes = package.arrays[name].astype(np.float64)
        scales = _channel_scales(real, codes)
        total = _Sums()
        total.add(real, codes * scales, (-np.inf, np.inf))
        lines.append(total.line(name, "weight", float(scales.max())))
    return lines


def sensitivity(
    package: QuantisedModel, arrays: Arrays, images: Sequence[NDArray[np.uint8]], *, golden: bool = True
) -> list[TensorDamage]:
    """Every tensor of a package, the one that its own format damages most first.

    ``arrays`` are the equalised float arrays that the package was made from; ``images`` should be others than those
    that set the scales. ``golden=False`` leaves out the runs of the golden model, most of the time that this takes.
    ValueError without images.
    """
    if not images:
        raise ValueError(f"{package.config.name}: the sensitivity table needs at least one image")
    lines = _activations(package, arrays, images, golden=golden) + _weights(package, arrays)
    return sorted(lines, key=lambda line: (line.format_db, line.name))


def sensitivity_text(lines: Sequence[TensorDamage], count: int | None = None) -> str:
    """The table in columns, its first ``count`` lines when given."""
    shown = lines[:count]
    width = max((len(line.name) for line in shown), default=6)
    rows = [f"{'tensor':{width}}  {'range':>21}  {'scale':>9}  format dB  cosine  clipped %  golden dB"]
    for line in shown:
        golden = "" if line.golden_db is None else f"{line.golden_db:.1f}"
        rows.append(
            f"{line.name:{width}}  {line.low:10.3g} {line.high:10.3g}  {line.scale:9.3g}  {line.format_db:9.1f}"
            f"  {line.cosine:6.4f}  {100 * line.clipped:9.3f}  {golden:>9}"
        )
    return "\n".join(rows) + "\n"
