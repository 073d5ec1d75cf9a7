"""GELU over every 16-bit input."""

import math
from fractions import Fraction

import numpy as np
import pytest

from golden.gelu import gelu, hidden
from golden.reference.functions import ACTIVATIONS
from hwgen.spec.activations import FUNCTIONS
from hwgen.spec.tables import gelu_table

EVERY = np.arange(-32768, 32768)
REAL = np.array([0.5 * x * (1 + math.erf(x / math.sqrt(2))) for x in EVERY / 2**11])


def test_error_of_every_input():
    error = gelu(gelu_table(), EVERY) / 2**16 - REAL
    assert np.abs(error).max() <= 1e-4
    assert error.max() > 2e-5  # errors of both signs: the nodes are balanced
    assert error.min() < -2e-5


def test_restated_with_python_integers():
    table = gelu_table().tolist()
    found = gelu(gelu_table(), EVERY).tolist()
    for z, y in zip(EVERY.tolist(), found, strict=True):
        k, f = divmod(abs(z), 64)
        delta = table[k][0] + math.floor(table[k][1] * f / 64 + 0.5) if k < 176 else 0
        assert y == (z * 32 if z > 0 else 0) - delta, z


def test_exact_outside_the_table():
    z = np.array([-32768, -176 * 64, 176 * 64, 32767, 0])
    assert gelu(gelu_table(), z).tolist() == [0, 0, 176 * 64 * 32, 32767 * 32, 0]
    assert gelu(gelu_table(), np.array([176 * 64 - 1])) == (176 * 64 - 1) * 32


def test_nothing_beyond_the_last_entry():
    """A delta that did not vanish would end at 5.5: entry 175 is the last one used."""
    table = np.full((176, 2), 900, dtype=np.int64)
    z = np.array([176 * 64 - 1, 176 * 64, -176 * 64 + 1, -176 * 64, -177 * 64])
    delta = np.maximum(z, 0) * 32 - gelu(table, z)
    assert delta.tolist() == [900 + 886, 0, 900 + 886, 0, 0]  # 900 * 63 / 64 = 885.9


def test_hidden_rounds_and_saturates():
    """Codes 0.5, 1.5, 2.5 of the output tell half_up from half_even and floor; large ones saturate."""
    table = np.zeros((176, 2), dtype=np.int64)  # plain ReLU
    z = np.array([1, 3, 5, -3, 32767])
    assert hidden(table, z, 1, 6, 0).tolist() == [1, 2, 3, 0, 127]
    table[0, 0] = 96  # delta 96 below 1/32: 32 z - 96
    assert hidden(table, np.array([1, 0, 2]), 1, 6, 0).tolist() == [-1, -1, 0]  # -1.0, -1.5, -0.5
    assert hidden(table, np.array([0, 1]), 65535, 0, 0).tolist() == [-127, -127]


@pytest.mark.parametrize("zero", [-127, -1, 0, 1, 127])
def test_the_zero_point_is_added_before_the_codes_saturate(zero: int):
    """Restated with fractions: what is rounded is the value alone, and both ends are those of the codes."""
    mult, shift = 40_000, 24
    found = hidden(gelu_table(), EVERY, mult, shift, zero)
    values = gelu(gelu_table(), EVERY).tolist()
    wanted = [math.floor(Fraction(y * mult, 2**shift) + Fraction(1, 2)) + zero for y in values]
    assert found.tolist() == [max(-127, min(127, code)) for code in wanted]
    assert found[EVERY == 0] == zero
    assert found.max() == 127
    assert (min(wanted) < -127) == (zero == -127)


@pytest.mark.parametrize("function", list(FUNCTIONS))
@pytest.mark.parametrize("stretch", [0, 1, 2, 4])
def test_error_of_every_input_of_every_function(function: str, stretch: int) -> None:
    """Half the chord's error on either side, and what delta is where the table ends."""
    info, unit = FUNCTIONS[function], 2.0**stretch
    x = EVERY / 2**11 * unit
    found = gelu(gelu_table(function=function, stretch=stretch), EVERY) / 2**16 * unit
    error = np.abs(found - ACTIVATIONS[function](x))
    step = unit / 32
    chord = step**2 / 8  # no second derivative is above one
    assert error.max() <= chord + 2 * unit / 2**16 + info.delta(5.5 * unit) + 1e-6
    if stretch == info.stretch:
        assert error.max() <= 5e-4


@pytest.mark.parametrize("function", list(FUNCTIONS))
def test_formulas_of_reference_and_table_are_one_function(function: str) -> None:
    x = np.linspace(-20, 20, 4001)
    delta = np.array([FUNCTIONS[function].delta(abs(value)) for value in x])
    assert np.abs(ACTIVATIONS[function](x) - (np.maximum(x, 0.0) - delta)).max() < 1e-6
