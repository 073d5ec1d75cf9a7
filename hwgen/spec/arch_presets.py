"""Named machines."""

from dataclasses import dataclass
from typing import Any

from hwgen.spec.arch import ArchConfig

KIB = 1024


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """The largest network shape that the activation buffers must hold."""

    tokens: int
    channels: int  # of the residual stream; also query, key and value with their head padding
    hidden: int  # widest row of the activation buffer: hidden units or patch values
    experts: int
    streams: int = 1  # residual streams: a selection of tokens makes one more where the dropped ones are wanted back


def sized_arch(name: str, lanes: tuple[int, int, int], capacity: Capacity, **others: Any) -> ArchConfig:
    """An arch of ``lanes`` (token, input, output) whose buffers just hold ``capacity``; ``others`` are its fields."""
    token_lanes, input_lanes, output_lanes = lanes
    row_words = -(-capacity.channels // output_lanes)
    hidden_words = -(-capacity.hidden // output_lanes)
    key_tiles, value_tiles = -(-capacity.tokens // output_lanes), -(-capacity.tokens // input_lanes)
    sizes: dict[str, Any] = {
        "residual_bytes": capacity.streams * capacity.tokens * row_words * 2 * output_lanes,
        "norm_bytes": capacity.tokens * row_words * output_lanes,
        "activation_bytes": capacity.tokens * max(hidden_words, 2 * row_words) * output_lanes,
        "key_bytes": key_tiles * row_words * output_lanes * output_lanes,
        "value_bytes": value_tiles * row_words * input_lanes * output_lanes,
        "score_words": 2 * capacity.tokens * key_tiles,
        "max_tokens": capacity.tokens,
        "max_inputs": max(capacity.hidden, capacity.tokens),
        "max_channels": capacity.channels,
        "max_experts": capacity.experts,
    }
    return ArchConfig(
        name=name,
        token_lanes=token_lanes,
        input_lanes=input_lanes,
        output_lanes=output_lanes,
        **{**sizes, **others},
    )


_MICRO = Capacity(tokens=65, channels=64, hidden=256, experts=8, streams=2)  # m3vit-micro, exactly
_ROOMY = Capacity(tokens=80, channels=96, hidden=384, experts=16, streams=2)
_TINY = Capacity(tokens=256, channels=192, hidden=768, experts=16)  # m3vit-tiny, deit-tiny
_SMALL = Capacity(tokens=257, channels=384, hidden=1536, experts=16)  # dinov2-small, deit-small
_BASE = Capacity(tokens=197, channels=768, hidden=3072, experts=16)  # deit-base
_PORTS: dict[str, int] = {
    "weight_ports": 4,
    "outstanding": 16,  # 16 bursts of 256 bytes on four ports hide a read latency of 240 cycles
}
_ZCU102: dict[str, int] = {
    **_PORTS,
    "max_inputs": 1024,
    "max_channels": 256,
    "ring_bytes": 1536 * KIB,  # lets a dense block of 2048 MACs hide the DDR time of the next block's experts
    "param_entries": 512,
    "norm_entries": 128,
}
_LARGE: dict[str, int] = {  # for dense networks that read every weight once
    **_PORTS,
    "ring_bytes": 512 * KIB,  # three output tiles of deit-base's longest layer, and room to load the next ones
}

_SIM: dict[str, int] = {"list_entries": 256}

_PRESETS = (
    sized_arch("zcu102", (4, 16, 32), _TINY, **_ZCU102),
    # 4096 MACs outrun DDR unless weights have four bits; its DSPs are above the share that usually closes timing
    sized_arch("zcu102-8x16x32", (8, 16, 32), _TINY, **_ZCU102),
    # ViT-S, and 577 tokens of ViT-Ti
    sized_arch(
        "zcu102-4x16x32",
        (4, 16, 32),
        _SMALL,
        **_LARGE,
        max_tokens=1024,  # costs what 577 would, and a comparison with it is one bit
        residual_bytes=577 * 6 * 64,
        norm_bytes=577 * 6 * 32,
        activation_bytes=577 * 24 * 32,
        key_bytes=19 * 6 * 1024,
        value_bytes=37 * 6 * 512,
        score_words=4096,
    ),
    # ViT-B as well: one copy of its residual stream, and scores of a block of queries
    sized_arch("zcu102-6x16x32", (6, 16, 32), _BASE, **_LARGE, max_tokens=512, score_words=2048, residual_copies=1),
    sized_arch(
        "zcu102-8x16x32-base", (8, 16, 32), _BASE, **_LARGE, max_tokens=512, score_words=2048, residual_copies=1
    ),
    sized_arch("sim", (2, 8, 16), _MICRO, **_SIM, ring_bytes=32 * KIB),
    # one token row at a time, a ring of exactly the largest layer, a short load queue
    sized_arch(
        "sim-1x8x8",
        (1, 8, 8),
        _MICRO,
        **_SIM,
        ring_bytes=20 * KIB,
        max_experts=20,
        load_queue=4,
        burst_beats=8,
        outstanding=2,
    ),
    sized_arch("sim-4x8x16", (4, 8, 16), _ROOMY, **_SIM, ring_bytes=64 * KIB, weight_ports=2),
    # an odd number of rows, one copy of the residual stream
    sized_arch("sim-3x8x16", (3, 8, 16), _ROOMY, **_SIM, ring_bytes=24 * KIB, load_queue=8, residual_copies=1),
    sized_arch("sim-2x16x16", (2, 16, 16), _MICRO, **_SIM, ring_bytes=48 * KIB, weight_ports=4, outstanding=2),
    sized_arch("sim-4x16x32", (4, 16, 32), _ROOMY, **_SIM, ring_bytes=96 * KIB, weight_ports=4),
    # words wider than a head of m3vit-micro: heads are padded
    sized_arch(
        "sim-1x8x64",
        (1, 8, 64),
        Capacity(tokens=65, channels=128, hidden=256, experts=8, streams=2),
        **_SIM,
        ring_bytes=64 * KIB,
    ),
)

ARCHS: dict[str, ArchConfig] = {arch.name: arch for arch in _PRESETS}
