"""One output channel of the MAC array: packed products, adder tree, one split, accumulators."""

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.spec.numerics import NUMERICS

FIELD_BITS = 19  # width of the low half of a packed product or of a sum of them
PACKED_BITS = 27  # (a1 << 19) + a0 of two int8 codes: the wide side of a DSP48E2 multiplier
MAX_PRODUCTS = 16  # packed products that add up inside one field
TREE_FANIN = 4  # summands per adder-tree stage


def adder_tree(terms: list[Value]) -> Value:
    """Balanced sum of ``terms``; grows by one bit a level."""
    while len(terms) > 1:
        pairs = [left + right for left, right in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[len(terms) & ~1 :]
    return terms[0]


class MacColumn(wiring.Component):
    """Sums of ``input_lanes`` products for every token lane, accumulated over the active cycles of a tile.

    Two token rows share a multiplier: the packed operand ``(a1 << 19) + a0`` times ``b`` is ``(a1*b << 19) + a0*b``.
    With codes in -127..127, |sum of 16 products| <= 16 * 127^2 = 258064 < 2^18, so the sum of up to 16 packed products
    holds both sums: the low field is the signed low 19 bits, the high field is the rest, plus one if the low one is
    negative. The split happens once, behind the tree. An odd last token row has a multiplier of its own.

    Parameters: ``token_lanes`` rows, ``input_lanes`` products a cycle (at most 16).

    Members (t counts pairs of rows, i inputs):
        packed[t][i] in   signed 27: (row 2t+1 << 19) + row 2t
        single[i]    in   signed 8: the last row, when token_lanes is odd
        b[i]         in   signed 8: weights of this channel
        add          in   1: accumulate the tree's output in this cycle
        restart      in   1: with ``add``, start a new sum instead
        sums[row]    out  signed 32: accumulators

    Timing: operands must be registered by the array. An operand in cycle c is in the tree's output in cycle
    ``c + tree_latency``, where ``add`` applies to it, and in ``sums`` one cycle later: ``latency = tree_latency + 1``.

    Equals golden.linear.accumulate.
    """

    tree_latency = 3  # product register, two adder-tree stages
    latency = tree_latency + 1  # operand to sums

    def __init__(self, token_lanes: int, input_lanes: int):
        if token_lanes < 1:
            raise ValueError(f"token_lanes must be at least 1, got {token_lanes}")
        if not 1 <= input_lanes <= MAX_PRODUCTS:
            raise ValueError(f"input_lanes must be 1..{MAX_PRODUCTS} to add up in one field, got {input_lanes}")
        assert input_lanes * NUMERICS.activation_max**2 < 1 << FIELD_BITS - 1
        self.token_lanes = token_lanes
        self.input_lanes = input_lanes
        members = {
            "b": In(signed(8)).array(input_lanes),
            "add": In(1),
            "restart": In(1),
            "sums": Out(signed(32)).array(token_lanes),
        }
        if token_lanes > 1:
            members["packed"] = In(signed(PACKED_BITS)).array(token_lanes // 2, input_lanes)
        if token_lanes % 2:
            members["single"] = In(signed(8)).array(input_lanes)
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        for pair in range(self.token_lanes // 2):
            total = self._sum_products(m, self.packed[pair], PACKED_BITS, f"pair{pair}")
            low = total[:FIELD_BITS].as_signed()
            high = total[FIELD_BITS:].as_signed()
            self._accumulate(m, 2 * pair, low, 0)
            self._accumulate(m, 2 * pair + 1, high, low[-1])
        if self.token_lanes % 2:
            total = self._sum_products(m, self.single, 8, "single")
            self._accumulate(m, self.token_lanes - 1, total, 0)
        return m

    def _sum_products(self, m, operands, operand_bits: int, name: str) -> Signal:
        """Product registers and the two registered stages of the adder tree."""
        products = []
        for i in range(self.input_lanes):
            product = Signal(signed(operand_bits + 8), name=f"{name}_product{i}", reset_less=True)
            m.d.sync += product.eq(operands[i] * self.b[i])
            products.append(product)
        partials = []
        for start in range(0, self.input_lanes, TREE_FANIN):
            partial = Signal(signed(operand_bits + 10), name=f"{name}_partial{start}", reset_less=True)
            m.d.sync += partial.eq(adder_tree(products[start : start + TREE_FANIN]))
            partials.append(partial)
        total_bits = FIELD_BITS + (FIELD_BITS if operand_bits == PACKED_BITS else 0)
        total = Signal(signed(total_bits), name=f"{name}_total", reset_less=True)
        m.d.sync += total.eq(adder_tree(partials))
        return total

    def _accumulate(self, m, row: int, term: Value, carry: Value | int) -> None:
        """``carry`` corrects a high field whose low neighbour is negative."""
        kept = Signal(signed(32), name=f"kept{row}")
        accumulator = Signal(signed(32), name=f"accumulator{row}", reset_less=True)
        m.d.comb += [kept.eq(Mux(self.restart, 0, accumulator)), self.sums[row].eq(accumulator)]
        with m.If(self.add):
            m.d.sync += accumulator.eq(kept + term + carry)
