"""A small machine for the tests of LayerNorm, softmax and gate."""

from hwgen.spec.arch import ArchConfig


def side_arch(**changes: int) -> ArchConfig:
    """A machine of 2 x 8 x 8 multipliers; ``changes`` override its parameters."""
    values = {
        "token_lanes": 2,
        "input_lanes": 8,
        "output_lanes": 8,
        "max_tokens": 40,
        "max_inputs": 256,
        "max_channels": 64,
        "max_experts": 8,
        "residual_bytes": 4096,
        "norm_bytes": 2048,
        "activation_bytes": 4096,
        "key_bytes": 2048,
        "value_bytes": 2048,
        "score_words": 256,
        "ring_bytes": 4096,
        "norm_entries": 16,
    }
    return ArchConfig(name="side", **(values | changes))
