"""How far the input of the activation function reaches.

The machine takes it as Q5.11, up to 16; beyond the table ReLU is exact. Where a network goes further, input and table
are stretched by a power of two: ``f(2^s z) / 2^s`` from a table of its own, and the scale behind it makes up for it. A
network has one table, so the layer that reaches furthest decides. Nothing of it is known to the machine.
"""

from collections.abc import Mapping

import numpy as np

from hwgen.frontend.layers.formats import code_names, tensor_formats
from hwgen.frontend.scaling import Array
from hwgen.spec.activations import FUNCTIONS
from hwgen.spec.graph import Network
from hwgen.spec.numerics import NUMERICS

INPUT = "tables.gelu.input"  # among the scales of a package: real value of one input code, where it is stretched
MOST_STRETCH = 4  # up to 256; the steps of the table are half a unit wide then
_LIMIT = 2.0 ** (NUMERICS.residual_bits - 1 - NUMERICS.gelu_fraction_bits)  # of Q5.11
_STEP = 2.0**-NUMERICS.gelu_fraction_bits


def reach(network: Network, samples: Mapping[str, Array]) -> dict[str, float]:
    """Tensor of hidden units -> its largest value, which is the largest input: that far up the function is ReLU."""
    formats, names = tensor_formats(network), code_names(network)
    called = {names.get(observed, observed): sample for observed, sample in samples.items()}
    return {name: float(sample.max(initial=0.0)) for name, sample in called.items() if formats[name].behind_gelu}


def stretch_of(network: Network, samples: Mapping[str, Array]) -> int:
    """The least stretch at which nothing is cut that these samples [n, channels] of int8 tensors hold."""
    largest = max(reach(network, samples).values(), default=0.0)
    needed = int(np.ceil(np.log2(largest / _LIMIT))) if largest > _LIMIT else 0
    return min(max(needed, FUNCTIONS[network.activation].stretch), MOST_STRETCH)


def input_scales(stretch: int) -> dict[str, float]:
    """What a package says of a stretch."""
    return {INPUT: _STEP * 2.0**stretch} if stretch else {}


def input_scale(scales: Mapping[str, float]) -> float:
    """Real value of one code of the input, from the scales of a package."""
    return scales.get(INPUT, _STEP)


def output_scale(scales: Mapping[str, float]) -> float:
    """Real value of the last place of the function's value."""
    return input_scale(scales) * 2.0 ** (NUMERICS.gelu_fraction_bits - NUMERICS.gelu_table_bits)


def input_limit(scales: Mapping[str, float]) -> float:
    """Where the input is cut."""
    return input_scale(scales) / _STEP * _LIMIT


def stretch_notes(network: Network, samples: Mapping[str, Array]) -> list[str]:
    """A sentence when the function's input is stretched because of what these samples hold, and when it is cut."""
    stretch = stretch_of(network, samples)
    end = _LIMIT * 2.0**stretch
    notes: list[str] = []
    for name, largest in reach(network, samples).items():
        if largest > end:
            notes.append(f"{name} reaches {largest:.1f} in calibration; its input is cut at {end:g}")
    if stretch > FUNCTIONS[network.activation].stretch and not notes:
        name, largest = max(reach(network, samples).items(), key=lambda item: item[1])
        notes.append(
            f"{name} reaches {largest:.1f} in calibration: the input of the activation function ends at {end:g}, in"
            f" steps of {2.0**stretch:g}/{2**NUMERICS.gelu_fraction_bits}"
        )
    return notes
