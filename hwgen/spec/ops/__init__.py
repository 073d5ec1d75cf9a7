"""The operations of the machine, one file each: encoder, RTL, compiler, estimate and documents read them."""

from hwgen.spec.isa import Opcode
from hwgen.spec.ops import (
    context,
    end,
    experts,
    gather,
    layernorm,
    linear,
    load_patches,
    load_position,
    load_table,
    load_weights,
    scatter,
    scores,
    select,
    store,
)
from hwgen.spec.ops.op import Op

OPS: dict[Opcode, Op] = {
    module.OP.opcode: module.OP
    for module in (
        end,
        load_weights,
        load_table,
        load_position,
        load_patches,
        store,
        layernorm,
        linear,
        scores,
        context,
        experts,
        select,
        gather,
        scatter,
    )
}
