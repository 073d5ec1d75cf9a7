"""Attention of every head at once."""

import numpy as np

from golden.reference.functions import softmax
from golden.reference.layers.forward import Forward
from hwgen.spec.layers import Attention


def run(forward: Forward, layer: Attention) -> None:
    """Weighted means; the scores are not kept, the integers have their own scale for them."""
    rows = (forward.rows(item) for item in (layer.query, layer.key, layer.value))
    width = layer.columns // layer.heads
    q, k, v = (x.reshape(-1, layer.heads, width).swapaxes(0, 1) for x in rows)
    probabilities = softmax(q @ k.swapaxes(1, 2) / np.sqrt(width))
    forward.looked[layer.scores] = probabilities[:, 0].mean(axis=0)
    forward.tensors[layer.writes] = (probabilities @ v).swapaxes(0, 1).reshape(-1, layer.columns)
