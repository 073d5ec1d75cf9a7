"""Attention, head by head."""

import numpy as np

from golden.attention import context, scores
from golden.layers.forward import Forward
from hwgen.spec.layers import Attention


def run(forward: Forward, layer: Attention) -> None:
    """Scores of every head, and the weighted means."""
    query, key, value = (forward.rows(rows) for rows in (layer.query, layer.key, layer.value))
    bias, mult, shift = (forward.get(f"{layer.name}.scores.{part}") for part in ("bias", "mult", "shift"))
    row_scale = forward.get(f"{layer.name}.context.mult"), forward.get(f"{layer.name}.context.shift")
    columns = layer.columns // layer.heads
    all_scores = np.empty((layer.heads, layer.queries, layer.keys), dtype=np.int64)
    out = np.empty_like(query)
    for head in range(layer.heads):
        at_head = slice(head * columns, (head + 1) * columns)
        t = scores(query[:, at_head], key[:, at_head], bias[head], mult[head], shift[head])
        tables = forward.table("exp2"), forward.table("reciprocal")
        out[:, at_head] = context(*tables, t, value[:, at_head], *row_scale)
        all_scores[head] = t
    forward.tensors[layer.scores] = all_scores
    forward.tensors[layer.writes] = out
