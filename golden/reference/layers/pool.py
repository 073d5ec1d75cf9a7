"""Pool: the mean of rows."""

from golden.reference.layers.forward import Forward
from hwgen.spec.layers import Pool


def run(forward: Forward, layer: Pool) -> None:
    """One row; the scores are not kept, nothing real stands behind them."""
    values = forward.rows(layer.source)
    forward.tensors[layer.values] = values
    forward.tensors[layer.writes] = values.mean(axis=0, keepdims=True)
