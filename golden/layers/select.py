"""Select: importances from the scores of the first query, the rows that go on, and the fused one."""

import numpy as np

from golden.layers.forward import Forward
from golden.select import fused_row, fused_weights, importance, kept
from hwgen.spec.layers import Select
from hwgen.spec.numerics import importance_weight


def run(forward: Forward, layer: Select) -> None:
    """A shorter stream."""
    stream = forward.rows(layer.source)
    first_query = forward.tensors[layer.scores.tensor][:, layer.scores.first]
    found = importance(forward.table("exp2"), forward.table("reciprocal"), first_query)
    chosen = kept(found, layer.prefix, layer.keep)
    rows = stream[chosen]
    if layer.fuse:
        dropped = np.setdiff1d(np.arange(layer.rows), chosen)
        weights = fused_weights(found[dropped], importance_weight(layer.heads))
        rows = np.concatenate([rows, fused_row(weights, stream[dropped])[None]])
    forward.tensors[layer.importance] = found
    forward.tensors[layer.kept] = chosen
    forward.tensors[layer.writes] = rows
