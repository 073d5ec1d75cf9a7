"""Bundles that cross unit boundaries, declared once: memory ports, table bus, tile tags, traces.

Directions are from the side that drives the request. Every activation buffer and every ring answers a read
``READ_LATENCY`` cycles after its address; writes take effect in the next cycle.
"""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.spec.arch import ArchConfig

READ_LATENCY = 2  # cycles from address to data of buffers and rings (block RAM with output register)
ADDRESS_BITS = 16  # word addresses inside the machine
ROW_BITS = 12  # row (token) indices
COUNTER_BITS = 16  # progress counters
PC_BITS = 16  # instruction index


def read_port(width: int) -> wiring.Signature:
    """A read port: ``address`` in cycle t gives ``data`` in cycle t + READ_LATENCY."""
    return wiring.Signature({"address": Out(ADDRESS_BITS), "data": In(width)})


def write_port(width: int) -> wiring.Signature:
    """A write port: ``data`` is stored at ``address`` when ``enable`` is high."""
    return wiring.Signature({"enable": Out(1), "address": Out(ADDRESS_BITS), "data": Out(width)})


def table_bus() -> wiring.Signature:
    """Broadcast that fills function tables: entry ``address`` of table ``table`` becomes ``data`` (base, slope)."""
    return wiring.Signature({"enable": Out(1), "table": Out(4), "address": Out(10), "data": Out(32)})


def progress_pulse() -> wiring.Signature:
    """``count`` more rows of progress counter ``counter`` are finished in each cycle with ``valid``."""
    return wiring.Signature({"valid": Out(1), "counter": Out(4), "count": Out(ROW_BITS)})


def fault() -> wiring.Signature:
    """A unit found an error: ``code`` (ErrorCode) at instruction ``pc``; ``valid`` may be one cycle long."""
    return wiring.Signature({"valid": Out(1), "code": Out(4), "pc": Out(PC_BITS)})


def issued() -> data.StructLayout:
    """An instruction as it waits in a unit's queue."""
    return data.StructLayout({"word": 256, "pc": PC_BITS})


class Param(data.Struct):
    """Parameters of one channel (post-processor: bias, mult, shift; LayerNorm: offset, signed gain)."""

    bias: signed(32)
    mult: unsigned(16)
    shift: unsigned(8)
    zero: unsigned(8)


class RowFactor(data.Struct):
    """What softmax leaves for one query row: largest octave and the factor that turns sums of u*v into outputs."""

    octave: signed(5)
    mult: unsigned(16)
    shift: unsigned(6)


def lane_tag() -> data.StructLayout:
    """One row of a tile."""
    return data.StructLayout(
        {
            "valid": 1,  # the row exists
            "row": ROW_BITS,  # token (or queue position, for the first expert layer) of the row
            "score": 16,  # UQ1.15 expert score
            "key_tile": 8,  # SCORE: which tile of keys this row holds
            "first_key": 1,  # SCORE: first key tile that this query meets
            "last_key": 1,  # SCORE: last one; the row is complete
        }
    )


def tile_tag(arch: ArchConfig) -> data.StructLayout:
    """What the post-processor must know of one finished accumulator tile (token_lanes rows x output_lanes channels)."""
    return data.StructLayout(
        {
            "pc": PC_BITS,
            "destination": 4,  # spec.isa.Destination
            "counter": 4,  # progress counter of a completed row, 0: none
            "finish": 1,  # last tile of an EXPERTS instruction: add finish_count to RESIDUAL
            "finish_count": ROW_BITS,
            "out_tile": 10,  # output tile: word of the row
            "first_tile": 1,  # first tile of the instruction (GATE: clear the queues)
            "last_tile": 1,  # last output tile: its rows are complete
            "param": ADDRESS_BITS,  # address of the tile's entry in the parameter ring
            "param_release": 1,  # release the parameter entry after this tile
            "dst_base": ADDRESS_BITS,
            "dst_stride": 10,
            "mult": 16,  # scalar M (SCORE), gelu_mult (HIDDEN), context Mc
            "shift": 6,
            "bias": signed(32),
            "mult2": 16,  # SCORE: context_mult; HIDDEN: gelu_mult
            "shift2": 6,  # SCORE: context_shift; HIDDEN: gelu_shift
            "slot": 1,  # row-factor slot
            "keys": ROW_BITS,  # SCORE: keys of the sequence, for the mask
            "experts": 6,
            "top_k": 6,
            "renormalise": 1,
            "lanes": data.ArrayLayout(lane_tag(), arch.token_lanes),
        }
    )


def row_trace(width: int) -> wiring.Signature:
    """A finished word for the comparison: instruction, destination, row, word of the row and its data."""
    return wiring.Signature(
        {
            "valid": Out(1),
            "pc": Out(PC_BITS),
            "destination": Out(4),
            "row": Out(ROW_BITS),
            "word": Out(10),
            "data": Out(width),
        }
    )
