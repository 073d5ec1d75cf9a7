"""Integer matrix product and the residual destinations."""

import numpy as np
import pytest

from golden.linear import accumulate, add_residual, add_scored, linear


def test_accumulate_is_exact_at_the_largest_sums():
    rows = np.full((2, 4096), 127, dtype=np.int8)
    weight = np.full((3, 4096), -127, dtype=np.int8)
    weight[1] = 127
    weight[2, 1:] = 0
    assert accumulate(rows, weight).tolist() == [[-127 * 127 * 4096, 127 * 127 * 4096, -127 * 127]] * 2


def test_linear_restated_with_object_integers():
    rng = np.random.default_rng(0)
    rows, weight = rng.integers(-127, 128, (9, 200)), rng.integers(-127, 128, (7, 200))
    bias, mult, shift = rng.integers(-(2**30), 2**30, 7), rng.integers(0, 65536, 7), rng.integers(0, 48, 7)
    found = linear(rows, weight, bias, mult, shift).tolist()
    compared = 0
    for token in range(9):
        for out in range(7):
            acc = sum(int(a) * int(b) for a, b in zip(rows[token], weight[out], strict=True))
            product = (acc + int(bias[out])) * int(mult[out])
            power = 2 ** int(shift[out])
            assert found[token][out] == (2 * product + power) // (2 * power)
            compared += 1
    assert compared == 63


def test_accumulate_refuses_sums_beyond_float():
    with pytest.raises(ValueError, match="do not fit an exact float64 sum"):
        accumulate(np.broadcast_to(np.int8(1), (1, 2**39)), np.zeros((1, 1)))


def test_residual_saturates_the_update_first():
    """-20000 + sat16(60000) differs from sat16(-20000 + 60000)."""
    assert add_residual(np.array([-20000, 20000, 5]), np.array([60000, 60000, -6])).tolist() == [12767, 32767, -1]


def test_scored_update():
    """Half of 1, 3 and -1 is rounded upwards; the update saturates before the score, the sum after."""
    residual = np.array([[0, 0, 0, 30000, -30000]])
    update = np.array([[1, 3, -1, 100000, -100000]])
    assert add_scored(residual, update, np.array([16384])).tolist() == [[1, 2, 0, 32767, -32768]]
    assert add_scored(residual * 0, update, np.array([16384])).tolist() == [[1, 2, 0, 16384, -16384]]
    assert add_scored(residual * 0, update, np.array([32768])).tolist() == [[1, 3, -1, 32767, -32768]]
    assert add_scored(residual, update, np.array([0])).tolist() == residual.tolist()
