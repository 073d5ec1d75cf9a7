"""Bundles that cross unit boundaries, declared once, and the widths that they share.

Directions are from the side that drives the request. Every activation buffer and every ring answers a read
``READ_LATENCY`` cycles after its address; writes take effect in the next cycle.
"""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.rtl.axi.bus import DATA_BITS
from hwgen.rtl.lib.pipeline import width_for
from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import MemoryInfo
from hwgen.spec.choices import importance_lanes
from hwgen.spec.numerics import FUSED_WEIGHT_BITS, IMPORTANCE_BITS, NUMERICS

WORD_ADDRESS_BITS = 16  # word addresses inside the machine
ROW_BITS = 12  # row (token) indices
COUNTER_BITS = 16  # progress counters
PC_BITS = 16  # instruction index
PROGRESS_COUNTERS = 16  # in the scoreboard, the internal one included
SCORE_BITS = NUMERICS.score_bits  # attention score
SCORE_FRACTION_BITS = NUMERICS.score_fraction_bits
EXPONENTIAL_BITS = NUMERICS.exp_fraction_bits + 1  # an exponential of softmax, UQ1.12
EXPERT_BITS = 6  # index of an expert
EXPERT_SCORE_BITS = NUMERICS.expert_score_bits + 1  # UQ1.15
OBSERVE_BITS = 2  # 0: not observed, OBSERVE_FIRST: first head, else a further one
OBSERVE_FIRST = 1
ATTENTION_READS_BITS = 8  # reads of one step of the attention schedule


def read_port(width: int) -> wiring.Signature:
    """A read port: ``address`` in cycle t gives ``data`` in cycle t + READ_LATENCY."""
    return wiring.Signature({"address": Out(WORD_ADDRESS_BITS), "data": In(width)})


def write_port(width: int) -> wiring.Signature:
    """A write port: ``data`` is stored at ``address`` when ``enable`` is high."""
    return wiring.Signature({"enable": Out(1), "address": Out(WORD_ADDRESS_BITS), "data": Out(width)})


def banked_write_port(banks: int, width: int) -> wiring.Signature:
    """A write port of a BankedBuffer: ``data`` goes to ``address`` of one ``bank``."""
    return wiring.Signature(
        {"enable": Out(1), "bank": Out(width_for(banks)), "address": Out(WORD_ADDRESS_BITS), "data": Out(width)}
    )


def buffer_read(memory: MemoryInfo, arch: ArchConfig) -> wiring.Signature:
    """A read port of a memory of hwgen/spec/buffers.py."""
    return read_port(memory.word_bits(arch))


def buffer_write(memory: MemoryInfo, arch: ArchConfig) -> wiring.Signature:
    """A write port of such a memory, with a bank where it has several."""
    if memory.banks == "one":
        return write_port(memory.word_bits(arch))
    return banked_write_port(memory.bank_count(arch), memory.word_bits(arch))


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


def ring_fill(slices: int) -> wiring.Signature:
    """The loader's side of a ring.

    ``space`` words are free; ``reserve`` words (0: none) are claimed in this cycle; ``valid[s]`` brings the next beat
    of slice s in ``data[s]``, for which there is room by reservation.
    """
    return wiring.Signature(
        {
            "space": In(COUNTER_BITS),
            "reserve": Out(COUNTER_BITS),
            "valid": Out(slices),
            "data": Out(data.ArrayLayout(DATA_BITS, slices)),
        }
    )


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
            "score": EXPERT_SCORE_BITS,  # UQ1.15 expert score
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
            "param": WORD_ADDRESS_BITS,  # address of the tile's entry in the parameter ring
            "param_release": 1,  # release the parameter entry after this tile
            "dst_base": WORD_ADDRESS_BITS,
            "dst_stride": 10,
            "mult": 16,  # scalar M (SCORE), gelu_mult (HIDDEN), context Mc
            "shift": 6,
            "bias": signed(32),
            "mult2": 16,  # SCORE: context_mult; HIDDEN: gelu_mult
            "shift2": 6,  # SCORE: context_shift; HIDDEN: gelu_shift
            "zero": signed(8),  # HIDDEN: zero point
            "slot": 1,  # row-factor slot
            "keys": ROW_BITS,  # SCORE: keys of the sequence, for the mask
            "observe": OBSERVE_BITS,  # SCORE: whether the scores of row 0 become importances
            "experts": EXPERT_BITS,
            "top_k": EXPERT_BITS,
            "renormalise": 1,
            "lanes": data.ArrayLayout(lane_tag(), arch.token_lanes),
        }
    )


def score_row(arch: ArchConfig) -> wiring.Signature:
    """One word of scores: a query row against one tile of keys."""
    return wiring.Signature(
        {
            "valid": Out(1),
            "lane": Out(width_for(arch.token_lanes)),
            "row": Out(ROW_BITS),  # query
            "slot": Out(1),  # row-factor slot
            "first_key": Out(1),  # first word of its query
            "last_key": Out(1),  # last word of its query
            "mult2": Out(16),  # Mc
            "shift2": Out(6),  # Sc
            "scores": Out(data.ArrayLayout(signed(SCORE_BITS), arch.output_lanes)),
            "mask": Out(arch.output_lanes),  # bit i: score i belongs to a key that exists
            "observe": Out(OBSERVE_BITS),  # of row 0; other rows: 0
            "key_tile": Out(8),  # which tile of keys
            "keys": Out(ROW_BITS),  # keys of the query
        }
    )


def row_reciprocal() -> wiring.Signature:
    """Reciprocal of the sum of one observed row; ``golden.reciprocal.reciprocal``."""
    return wiring.Signature({"valid": Out(1), "value": Out(16), "exponent": Out(6)})


def importance_read(arch: ArchConfig) -> wiring.Signature:
    """Read side of the importances, from the reader; data comes READ_LATENCY cycles after its address."""
    return wiring.Signature(
        {
            "searching": Out(1),  # ``words`` are of this reader in this cycle
            "word": Out(WORD_ADDRESS_BITS),
            "words": In(IMPORTANCE_BITS * importance_lanes(arch)),
            "position": Out(ROW_BITS),
            "importance": In(IMPORTANCE_BITS),
            "keys": In(ROW_BITS),  # positions of the row that was observed last; 0: none was
            "idle": In(1),  # no observed row is under way
        }
    )


def logit_row(arch: ArchConfig) -> wiring.Signature:
    """One word of gate logits of one token; words of a token come in the order of ``tile``."""
    return wiring.Signature(
        {
            "valid": Out(1),
            "pc": Out(PC_BITS),
            "row": Out(ROW_BITS),  # token
            "lane": Out(width_for(arch.token_lanes)),
            "tile": Out(10),  # word: experts tile * output_lanes and up
            "first_tile": Out(1),  # first tile of the instruction: clear the queues
            "last_tile": Out(1),  # last word of the token
            "experts": Out(EXPERT_BITS),
            "top_k": Out(EXPERT_BITS),
            "renormalise": Out(1),
            "logits": Out(data.ArrayLayout(signed(16), arch.output_lanes)),
        }
    )


def result_row(arch: ArchConfig) -> wiring.Signature:
    """One word of results; there is always space for it."""
    return wiring.Signature({"valid": Out(1), "data": Out(16 * arch.output_lanes)})


def dropped_row() -> wiring.Signature:
    """What a selection drops, for the row that becomes of it."""
    return wiring.Signature(
        {
            "clear": Out(1),  # a selection begins
            "put": Out(1),  # ``address`` is the first word of a row that is dropped, of this ``weight``
            "fused": Out(1),  # ``address`` is the first word of the fused row
            "address": Out(WORD_ADDRESS_BITS),
            "weight": Out(FUSED_WEIGHT_BITS),
        }
    )


def queue_push() -> wiring.Signature:
    """One token for one expert."""
    return wiring.Signature(
        {
            "clear": Out(1),  # empty every queue, then push
            "valid": Out(1),
            "pc": Out(PC_BITS),
            "expert": Out(EXPERT_BITS),
            "token": Out(ROW_BITS),
            "score": Out(EXPERT_SCORE_BITS),
        }
    )


def queue_read() -> wiring.Signature:
    """Read side of the expert queues, from the reader: entry (expert, position), and the lengths of the queues."""
    return wiring.Signature(
        {
            "expert": Out(EXPERT_BITS),
            "position": Out(ROW_BITS),
            "token": In(ROW_BITS),  # READ_LATENCY cycles after expert and position
            "score": In(EXPERT_SCORE_BITS),
            "length_expert": Out(EXPERT_BITS),
            "length": In(ROW_BITS),  # in the cycle of length_expert
            "more": In(1),  # an expert above length_expert has tokens
        }
    )
