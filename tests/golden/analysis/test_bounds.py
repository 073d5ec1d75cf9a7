"""Nothing overflows: ranges of all sums lie inside the hardware's widths, and the extremes that are claimed occur."""

from dataclasses import replace

import numpy as np
import pytest

from golden.analysis.bounds import Bound, bounds, limit
from golden.gelu import gelu
from golden.layernorm import normalise, row_statistics
from golden.softmax import probabilities, softmax_statistics
from hwgen.rtl.attention import row_factor, softmax
from hwgen.rtl.experts import gate_exponentials
from hwgen.rtl.experts.top_k import LOGIT_BITS
from hwgen.rtl.layernorm import layernorm_rows
from hwgen.rtl.matmul import mac_column
from hwgen.rtl.post import gelu as gelu_rtl
from hwgen.rtl.post import requant
from hwgen.rtl.select import attention_observer, row_sum, token_sweep
from hwgen.spec.numerics import IMPORTANCE_BITS
from hwgen.spec.tables import default_tables
from hwgen.store.archs import arch_preset

FOUND = {item.quantity: item for item in bounds()}
TABLES = default_tables()
LIMITS = {name: limit(name) for name in ("max_tokens", "max_inputs", "max_channels", "max_experts", "input_lanes")}


def test_limits_are_those_of_the_arch():
    assert LIMITS == {
        "max_tokens": 1024, "max_inputs": 4096, "max_channels": 1024, "max_experts": 32, "input_lanes": 16,
    }  # fmt: skip


@pytest.mark.parametrize("item", FOUND.values(), ids=list(FOUND))
def test_every_range_fits(item: Bound):
    assert item.low <= 0 < item.high
    assert item.bits <= item.held
    if item.low:
        assert -(2 ** (item.bits - 1)) <= item.low
        assert item.high < 2 ** (item.bits - 1)
    else:
        assert 2 ** (item.bits - 1) <= item.high < 2**item.bits


def test_bits_by_hand():
    ranges = {(0, 255): 8, (0, 256): 9, (-128, 127): 8, (-129, 1): 9, (-1, 0): 1}
    assert {ends: Bound("", "", *ends, 0).bits for ends in ranges} == ranges


def test_held_widths_are_those_of_the_hardware():
    arch = replace(arch_preset("zcu102"), **LIMITS)
    constants = layernorm_rows.row_constants(arch)
    channels_log2 = layernorm_rows.channels_log2(arch)
    total = constants["total"].shape.width
    widths = {
        "sum of one chunk (a field of the packed product)": mac_column.FIELD_BITS,
        "accumulator": requant.ACC_BITS,
        "acc + bias": requant.ACC_BITS,
        "(acc + bias) * M": requant.ACC_BITS + requant.MULT_BITS,
        "y of GELU": gelu_rtl.OUT_BITS,
        "y * M2": gelu_rtl.OUT_BITS + requant.MULT_BITS,
        "sat16(requant) * score": gelu_rtl.OUT_BITS + requant.MULT_BITS,
        "S1": total,
        "S2": 2 * layernorm_rows.VALUE_BITS - 1 + channels_log2,
        "V": layernorm_rows._root_width(arch),
        "d": total + 1,
        "d * R": total + 1 + 17,
        "z": layernorm_rows.Z_BITS,
        "z * gain + offset": layernorm_rows.Z_BITS + 18,
        "x * gain + offset of plain rows": layernorm_rows.Z_BITS + 18,
        "E << (oct + 16)": softmax.EXPONENTIAL_BITS + 31,
        "sum of a row": row_factor.total_bits(arch),
        "SUM(u * v)": requant.ACC_BITS,
        "SUM(u * v) * M_row": requant.ACC_BITS + requant.MULT_BITS,
        "E * R": attention_observer._PRODUCT_BITS,
        "a": IMPORTANCE_BITS,
        "a * weight": IMPORTANCE_BITS + token_sweep.WEIGHT_BITS,
        "SUM w * x": row_sum.sum_bits(arch),
        "D": LOGIT_BITS + 1,
        "total": gate_exponentials.total_bits(LIMITS["max_experts"]),
    }
    assert {name: FOUND[name].held for name in widths} == widths
    assert set(FOUND) - set(widths) == {
        "r + sat16(requant)",
        "sat16(half_up(y * M2, S2)) + zero",
        "u",
        "R * Mc",
        "X * R",
        "a of a head",
    }


def test_layernorm_reaches_its_bounds():
    channels = LIMITS["max_channels"]
    halves = np.full(channels, 32767)
    halves[: channels // 2] = -32768
    alone = np.full(channels, -32768)
    alone[0] = 32767
    rows = [halves, alone, np.full(channels, -32768)]
    exact = [[int(x) for x in row] for row in rows]
    totals, squares = [sum(row) for row in exact], [sum(x * x for x in row) for row in exact]
    spreads = [channels * s - t * t for s, t in zip(squares, totals, strict=True)]
    assert totals[2] == FOUND["S1"].low
    assert squares[2] == FOUND["S2"].high
    assert spreads[0] == FOUND["V"].high
    assert channels * exact[1][0] - totals[1] == FOUND["d"].high
    x = np.stack(rows)
    z = normalise(x, row_statistics(TABLES["rsqrt"], x))
    assert 0.999 * FOUND["z"].high < z.max() <= FOUND["z"].high
    rng = np.random.default_rng(0)
    spikes = np.zeros((200, channels), dtype=np.int64)
    spikes[:, 0] = rng.integers(1, 32768, 200)
    assert np.abs(normalise(spikes, row_statistics(TABLES["rsqrt"], spikes))).max() <= FOUND["z"].high


def test_softmax_and_gelu_reach_their_bounds():
    top = np.full((1, LIMITS["max_tokens"]), 511)
    statistics = softmax_statistics(TABLES["exp2"], top)
    assert int(statistics.total[0]) == FOUND["sum of a row"].high
    u = probabilities(TABLES["exp2"], top, statistics.top)
    assert u.max() == FOUND["u"].high
    assert int((u * 127).sum()) == FOUND["SUM(u * v)"].high
    y = gelu(TABLES["gelu"], np.arange(-32768, 32768))
    assert y.max() == FOUND["y of GELU"].high
    assert FOUND["y of GELU"].low <= y.min() < 0.99 * FOUND["y of GELU"].low
