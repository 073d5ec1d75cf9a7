"""Pool: attention of one query whose scores are all zero, on the rows as they are."""

import numpy as np

from golden.attention import context
from golden.layers.forward import Forward
from hwgen.spec.layers import Pool


def run(forward: Forward, layer: Pool) -> None:
    """The mean, rounded as attention rounds."""
    values = forward.rows(layer.source)
    scores = np.zeros((1, layer.rows), dtype=np.int64)
    scale = forward.get(f"{layer.name}.context.mult"), forward.get(f"{layer.name}.context.shift")
    forward.tensors[layer.values] = values
    forward.tensors[layer.scores] = scores[None]
    forward.tensors[layer.writes] = context(forward.table("exp2"), forward.table("reciprocal"), scores, values, *scale)
