"""The MAC array: token_lanes x input_lanes x output_lanes int8 multiply-accumulates a cycle, output stationary."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.matmul.mac_column import FIELD_BITS, PACKED_BITS, MacColumn
from hwgen.spec.arch import ArchConfig


class MacArray(wiring.Component):
    """``sums[t][o] = SUM over the active cycles of a tile of a[t][i] * b[i][o]``, exact in 32 bits.

    A tile is any number of active cycles; ``first`` marks its first one and ``last`` its last one (both for a tile of
    one cycle). Idle cycles may lie anywhere. Rows of ``a`` are packed in pairs so that one multiplier serves two rows
    (hwgen/rtl/matmul/mac_column.py); codes of both operands must lie in -127..127.

    Parameters: ``arch`` (token_lanes, input_lanes, output_lanes).

    Members:
        a          in   [token_lanes][input_lanes] signed 8: rows
        b          in   [input_lanes][output_lanes] signed 8: weights, or keys or values
        valid      in   1: this cycle's operands count
        first      in   1: with ``valid``, they start a new tile
        last       in   1: with ``valid``, they end it
        sums       out  [token_lanes][output_lanes] signed 32: stable only in the cycle of ``sums_valid``
        sums_valid out  1: the tile is complete

    Timing: no stalls; ``sums_valid`` is high exactly ``latency`` cycles after ``valid & last``.

    Equals golden.linear.accumulate.
    """

    latency = 1 + MacColumn.latency  # operand registers, then a column

    def __init__(self, arch: ArchConfig):
        self.arch = arch
        super().__init__(
            {
                "a": In(data.ArrayLayout(data.ArrayLayout(signed(8), arch.input_lanes), arch.token_lanes)),
                "b": In(data.ArrayLayout(data.ArrayLayout(signed(8), arch.output_lanes), arch.input_lanes)),
                "valid": In(1),
                "first": In(1),
                "last": In(1),
                "sums": Out(data.ArrayLayout(data.ArrayLayout(signed(32), arch.output_lanes), arch.token_lanes)),
                "sums_valid": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        columns = [MacColumn(self.arch.token_lanes, self.arch.input_lanes) for _ in range(self.arch.output_lanes)]
        self._operands(m, columns)
        self._strobes(m, columns)
        for o, column in enumerate(columns):
            m.submodules[f"column{o}"] = column
            m.d.comb += [self.sums[t][o].eq(column.sums[t]) for t in range(self.arch.token_lanes)]
        return m

    def _operands(self, m, columns: list[MacColumn]) -> None:
        """Input registers: rows packed once for all columns, weights per column."""
        rows = self.arch.token_lanes
        for i in range(self.arch.input_lanes):
            for t in range(rows // 2):
                packed = Signal(signed(PACKED_BITS), name=f"packed{t}_{i}", reset_less=True)
                m.d.sync += packed.eq((self.a[2 * t + 1][i] << FIELD_BITS) + self.a[2 * t][i])
                m.d.comb += [column.packed[t][i].eq(packed) for column in columns]
            if rows % 2:
                single = Signal(signed(8), name=f"single_{i}", reset_less=True)
                m.d.sync += single.eq(self.a[rows - 1][i])
                m.d.comb += [column.single[i].eq(single) for column in columns]
            for o, column in enumerate(columns):
                weight = Signal(signed(8), name=f"weight{i}_{o}", reset_less=True)
                m.d.sync += weight.eq(self.b[i][o])
                m.d.comb += column.b[i].eq(weight)

    def _strobes(self, m, columns: list[MacColumn]) -> None:
        """``valid``, ``first`` and ``last`` travel with the operands."""
        depth = self.latency - 1  # operands to the accumulate stage
        valid, first, last = (Signal(depth, name=f"{name}_pipe") for name in ("valid", "first", "last"))
        m.d.sync += [
            valid.eq((valid << 1) | self.valid),
            first.eq((first << 1) | self.first),
            last.eq((last << 1) | self.last),
            self.sums_valid.eq(valid[-1] & last[-1]),
        ]
        for column in columns:
            m.d.comb += [column.add.eq(valid[-1]), column.restart.eq(first[-1])]
