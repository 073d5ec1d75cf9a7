"""A small machine for tests of units."""

from typing import Any

from hwgen.spec.arch import ArchConfig


def small_arch(**changes: Any) -> ArchConfig:
    """2 x 8 x 8 lanes with small buffers; fields by name."""
    values: dict[str, Any] = {
        "name": "test",
        "token_lanes": 2,
        "input_lanes": 8,
        "output_lanes": 8,
        "max_tokens": 32,
        "max_inputs": 64,
        "max_channels": 64,
        "max_experts": 4,
        "residual_bytes": 4096,
        "norm_bytes": 2048,
        "activation_bytes": 4096,
        "key_bytes": 2048,
        "value_bytes": 2048,
        "score_words": 256,
        "ring_bytes": 4096,
    }
    return ArchConfig(**(values | changes))
