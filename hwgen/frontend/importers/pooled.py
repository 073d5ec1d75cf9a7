"""Arrays of ``pool: mean_norm`` in a network that was trained elsewhere: a mean that is not weighed."""

import numpy as np

from hwgen.frontend.scaling import FloatArray


def mean_norm_arrays(dim: int) -> dict[str, FloatArray]:
    """Codes as they are, a stream that begins at zero, and the identity; ``fc_norm`` is the checkpoint's."""
    return {
        "pool.codes.weight": np.ones(dim, dtype=np.float32),
        "pool.codes.bias": np.zeros(dim, dtype=np.float32),
        "pool.start": np.zeros((1, dim), dtype=np.float32),
        "pool.mean.weight": np.eye(dim, dtype=np.float32),
    }
