"""Requantisation lanes: multiply, shift and round half up, saturated to 16 bits."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.lib.pipeline import delay
from hwgen.spec.numerics import NUMERICS

ACC_BITS = NUMERICS.accumulator_bits
MULT_BITS = NUMERICS.multiplier_bits
SHIFT_BITS = NUMERICS.shift_bits
OUT_BITS = 16
WIDE_BITS = 26  # unsigned part of x beside the multiplier: with a sign bit, the 27-bit side of a DSP48E2
FINE_BITS = 3  # the second shifter moves by 0..7, the first by multiples of 8


def saturate(value: Value, bits: int) -> Value:
    """Signed ``value`` clipped to ``bits`` bits: eight bits to -127..127, other widths to two's complement."""
    high = 2 ** (bits - 1) - 1
    low = -high if bits == 8 else -high - 1
    if len(value) > bits:
        top = value[bits - 1 :]
        value = Mux(top.any() & ~top.all(), Mux(value[-1], low, high), value[:bits].as_signed())[:bits].as_signed()
    if bits == 8 and len(value) == bits:
        value = Mux(value == low - 1, low, value)[:bits].as_signed()
    return value


class RequantLanes(wiring.Component):
    """``y = sat16(half_up((x + bias) * mult, shift))`` in every lane.

    Every destination saturates to sixteen bits or fewer, so clipping to sixteen here changes no result.

    Parameters
    ----------
    lanes: values per cycle. input_bits: width of x. biased: there is a bias to add; x is then an accumulator.
    shared: one multiplier and shift for all lanes instead of one per lane.

    Members
    -------
    x[lane]: In(signed(input_bits)). bias[lane]: In(signed(32)), when biased; x + bias must fit in 32 bits.
    mult[lane]: In(16), unsigned. shift[lane]: In(6), 0..47. y[lane]: Out(signed(16)).

    Timing: fully pipelined, ``latency`` cycles from x, bias, mult and shift to y:
    sum (when biased), partial products, product, coarse shift, fine shift, clipping, rounding.

    Equals golden.rounding.requant followed by sat16.
    """

    def __init__(self, lanes: int, *, input_bits: int = ACC_BITS, biased: bool = True, shared: bool = False):
        if lanes < 1:
            raise ValueError(f"RequantLanes takes at least one lane, got {lanes}")
        if not 2 <= input_bits <= ACC_BITS or (biased and input_bits != ACC_BITS):
            raise ValueError(f"input_bits must be 2..{ACC_BITS}, and {ACC_BITS} with a bias; got {input_bits}")
        self._lanes, self._input_bits, self._biased, self._shared = lanes, input_bits, biased, shared
        self.latency = 6 + biased
        members = {
            "x": In(data.ArrayLayout(signed(input_bits), lanes)),
            "mult": In(MULT_BITS if shared else data.ArrayLayout(MULT_BITS, lanes)),
            "shift": In(SHIFT_BITS if shared else data.ArrayLayout(SHIFT_BITS, lanes)),
            "y": Out(data.ArrayLayout(signed(OUT_BITS), lanes)),
        }
        if biased:
            members["bias"] = In(data.ArrayLayout(signed(ACC_BITS), lanes))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """One multiplier and one shifter a lane."""
        m = Module()
        if self._shared:
            factors = [self._factor(m, self.mult, self.shift, "")] * self._lanes
        else:
            factors = [self._factor(m, self.mult[i], self.shift[i], f"_{i}") for i in range(self._lanes)]
        for lane, factor in enumerate(factors):
            m.d.comb += self.y[lane].eq(self._lane(m, lane, *factor))
        return m

    def _factor(self, m: Module, mult: Value, shift: Value, name: str) -> tuple[Value, Value, Value]:
        """Multiplier behind the sum, coarse shift two cycles later, fine shift three cycles later."""
        mult = delay(m, mult, int(self._biased), f"mult{name}")
        shift = delay(m, shift, int(self._biased) + 2, f"shift{name}")
        return mult, shift[FINE_BITS:], delay(m, shift[:FINE_BITS], 1, f"fine{name}")

    def _lane(self, m: Module, lane: int, mult: Value, coarse: Value, fine: Value) -> Value:
        x = self.x[lane]
        if self._biased:
            total = Signal(signed(ACC_BITS), name=f"total_{lane}", reset_less=True)
            m.d.sync += total.eq(x + self.bias[lane])
            x = total
        return self._shifted(m, lane, self._product(m, lane, x, mult), coarse, fine)

    def _product(self, m: Module, lane: int, x: Value, mult: Value) -> Signal:
        """``x * mult``: one wide product, and a narrow one for the bits of x that do not fit beside the multiplier."""
        bits = len(x) + MULT_BITS
        product = Signal(signed(bits), name=f"product_{lane}", reset_less=True)
        if len(x) <= WIDE_BITS:
            partial = Signal(signed(bits), name=f"partial_{lane}", reset_less=True)
            m.d.sync += [partial.eq(x * mult), product.eq(partial)]
        else:
            low = Signal(WIDE_BITS + MULT_BITS, name=f"low_{lane}", reset_less=True)
            high = Signal(signed(bits - WIDE_BITS), name=f"high_{lane}", reset_less=True)
            m.d.sync += [
                low.eq(x[:WIDE_BITS] * mult),
                high.eq(x[WIDE_BITS:].as_signed() * mult),
                product.eq((high << WIDE_BITS) + low),
            ]
        return product

    def _shifted(self, m: Module, lane: int, product: Value, coarse: Value, fine: Value) -> Signal:
        """Half up for every shift, zero included: keep one fraction bit, add one to it, drop it."""
        doubled = (product << 1).as_signed()
        coarsely = Signal(signed(len(doubled)), name=f"coarse_{lane}", reset_less=True)
        shifted = Signal(signed(len(doubled)), name=f"shifted_{lane}", reset_less=True)
        finely = Signal(signed(OUT_BITS + 2), name=f"finely_{lane}", reset_less=True)
        whole = Signal(signed(OUT_BITS + 2), name=f"whole_{lane}")
        rounded = Signal(signed(OUT_BITS), name=f"rounded_{lane}", reset_less=True)
        m.d.comb += whole.eq((finely + 1) >> 1)
        m.d.sync += [
            coarsely.eq(doubled >> Cat(Const(0, FINE_BITS), coarse)),
            shifted.eq(coarsely >> fine),
            finely.eq(saturate(shifted, OUT_BITS + 2)),
            rounded.eq(saturate(whole, OUT_BITS)),
        ]
        return rounded
