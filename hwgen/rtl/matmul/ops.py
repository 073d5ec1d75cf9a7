"""An *op*: one loop nest of the compute unit, as the op expander hands it to operand loader and tile issuer."""

from enum import IntEnum

from amaranth.hdl import signed
from amaranth.lib import data

from hwgen.rtl.lib.interfaces import COUNTER_BITS, OBSERVE_BITS, PC_BITS, ROW_BITS, WORD_ADDRESS_BITS


class OpKind(IntEnum):
    """Shape of the loop nest."""

    LINEAR = 0  # B from the weight ring
    SCORES = 1  # B from the keys, reordered schedule
    CONTEXT = 2  # B from the values, A through the probability lanes
    SKIP = 3  # an expert without tokens: release its words


class RowSource(IntEnum):
    """Where the rows of A come from."""

    NORM = 0  # norm buffer, row after row
    ACTIVATION = 1  # activation buffer, row after row
    QUEUE_NORM = 2  # norm buffer, rows named by the expert's token queue
    QUEUE_ACTIVATION = 3  # activation buffer by queue position; token and score go to the post-processor


def op_layout() -> data.StructLayout:
    """Fields of an op; see ``hwgen.spec.isa`` for those that instructions carry."""
    return data.StructLayout(
        {
            "pc": PC_BITS,
            "first": 1,  # first op of its instruction
            "kind": 2,  # OpKind
            "source": 2,  # RowSource
            "expert": 6,
            "rows": ROW_BITS,
            "in_chunks": 10,
            "out_tiles": 10,
            "src_base": WORD_ADDRESS_BITS,
            "src_stride": 10,
            "wait_a": 4,
            "wait_a_base": COUNTER_BITS,
            "wait_b": 4,
            "wait_b_base": COUNTER_BITS,
            "destination": 4,
            "counter": 4,  # progress counter of its rows
            "finish": 1,  # last op of EXPERTS
            "finish_count": ROW_BITS,
            "dst_base": WORD_ADDRESS_BITS,
            "dst_stride": 10,
            "mult": 16,
            "shift": 6,
            "bias": signed(32),
            "mult2": 16,
            "shift2": 6,
            "zero": signed(8),
            "slot": 1,
            "keys": ROW_BITS,
            "b_offset": 10,  # first word of the head in a key or value row
            "b_stride": 10,  # words per key or value row
            "experts": 6,
            "top_k": 6,
            "renormalise": 1,
            "observe": OBSERVE_BITS,  # SCORES: whether the scores of row 0 become importances
            "int4": 1,  # weights of four bits: two chunks of an output tile share a ring word
        }
    )
