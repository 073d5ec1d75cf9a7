"""Rows that the post-processor sends to the softmax statistics, the gate and the result FIFO."""

from amaranth.hdl import signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from hwgen.rtl.interfaces import PC_BITS, ROW_BITS
from hwgen.rtl.pipeline import width_for
from hwgen.rtl.softmax import score_row
from hwgen.spec.arch import ArchConfig

__all__ = ["logit_row", "result_row", "score_row"]


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
            "experts": Out(6),
            "top_k": Out(6),
            "renormalise": Out(1),
            "logits": Out(data.ArrayLayout(signed(16), arch.output_lanes)),
        }
    )


def result_row(arch: ArchConfig) -> wiring.Signature:
    """One word of results; there is always space for it."""
    return wiring.Signature({"valid": Out(1), "data": Out(16 * arch.output_lanes)})
