"""A small machine for tests of what is generated."""

from hwgen.spec.arch import ArchConfig

ARCH = ArchConfig(
    name="small",
    token_lanes=2,
    input_lanes=8,
    output_lanes=8,
    max_tokens=64,
    max_inputs=256,
    max_channels=64,
    max_experts=8,
    residual_bytes=16384,
    norm_bytes=8192,
    activation_bytes=16384,
    key_bytes=8192,
    value_bytes=8192,
    score_words=1024,
    ring_bytes=8192,
)
