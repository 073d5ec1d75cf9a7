"""Select: the mean attention of the first query over heads says which rows go on."""

import numpy as np

from golden.reference.layers.forward import Forward
from hwgen.spec.layers import Select


def run(forward: Forward, layer: Select) -> None:
    """A shorter stream; of equal importances the lower position goes on."""
    stream, found = forward.rows(layer.source), forward.looked[layer.scores.tensor]
    others = np.argsort(-found[layer.prefix :], kind="stable")[: layer.keep] + layer.prefix
    chosen = np.concatenate([np.arange(layer.prefix), np.sort(others)])
    chosen = forward.chosen.get(layer.kept, chosen)
    rows = stream[chosen]
    if layer.fuse:
        dropped = np.setdiff1d(np.arange(layer.rows), chosen)
        rows = np.concatenate([rows, (found[dropped] @ stream[dropped])[None]])
    forward.tensors[layer.importance] = found
    forward.tensors[layer.kept] = chosen
    forward.tensors[layer.writes] = rows
