"""Small networks for whole-machine tests: each has one property that a full-size network would hide."""

from dataclasses import dataclass, replace

import numpy as np

from golden.network import run_network
from hwgen.spec.model import ModelConfig, TaskConfig
from hwgen.spec.package import QuantisedModel
from hwgen.spec.weight_bits import with_weight_bits
from tests.golden.random_package import changed, random_image, random_package

SEG = TaskConfig(name="seg", kind="segmentation", classes=3, cell=2)
DEPTH = TaskConfig(name="depth", kind="depth", classes=1, cell=4)
CLASS = TaskConfig(name="class", kind="classification", classes=21)
ALL = TaskConfig(name="tokens", kind="features", classes=32)

TINY = ModelConfig(
    name="tiny",
    image_height=32,
    image_width=32,
    patch=8,
    dim=32,
    depth=2,
    heads=2,
    mlp_hidden=64,
    moe_blocks=(1,),
    experts=4,
    top_k=2,
    expert_hidden=32,
    tasks=(SEG,),
)

ONE_MOE_BLOCK = replace(TINY, depth=1, moe_blocks=(0,))
LOGIT = 256  # one octave


@dataclass(frozen=True, kw_only=True)
class Network:
    """A package, an image, and the queue lengths of the first MoE block where they were chosen."""

    package: QuantisedModel
    image: np.ndarray
    queue_lengths: tuple[int, ...] | None = None

    @property
    def config(self) -> ModelConfig:
        """Its shape."""
        return self.package.config


def random_network(seed: int, **changes: object) -> Network:
    """A network like TINY but for ``changes``, with random weights and a random image."""
    config = replace(TINY, **changes)
    return Network(package=random_package(config, seed), image=random_image(config, seed))


def narrow_network(seed: int, bits: str, **changes: object) -> Network:
    """A random network in which some layers have four-bit weights."""
    return random_network(seed, int4=with_weight_bits(replace(TINY, **changes), bits).int4, **changes)


def _separating_row(rows: np.ndarray, token: int) -> tuple[np.ndarray, int]:
    """Gate weights and bias whose logit is positive for ``token`` and negative for every other token."""
    weight = np.clip(rows[token], -127, 127)
    products = rows @ weight
    others = np.delete(products, token).max()
    if products[token] - others < 64:
        raise ValueError(f"token {token} does not stand out: {products[token]} against {others}")
    return weight, -int(products[token] + others) // 2


def queue_network(
    seed: int, top_k: int, order: tuple[str, ...], expected: tuple[int, ...], bits: str = "*=8", **changes: object
) -> Network:
    """A network whose gate sends tokens where ``order`` says, one word an expert.

    ``bits``: of the weights of some layers. ``all``: far above the others, for every token. ``one``: above zero for
    one token alone, below for the rest. ``rest``: zero. ``none``: far below. With mult 1 and shift 5 a logit is the
    accumulator divided by 32.
    """
    config = replace(ONE_MOE_BLOCK, name=f"queues-{top_k}", experts=len(order), top_k=top_k, **changes)
    config = with_weight_bits(config, bits)
    package, image = random_package(config, seed), random_image(config, seed)
    rows = run_network(package, image, SEG.name)["blocks.0.norm2"]
    weight = np.zeros((len(order), config.dim), np.int8)
    bias = np.zeros(len(order), np.int32)
    for expert, kind in enumerate(order):
        if kind == "one":
            weight[expert], bias[expert] = _separating_row(rows, token=config.tokens // 2)
        else:
            bias[expert] = {"all": 2 * LOGIT * 32, "rest": 0, "none": -2 * LOGIT * 32}[kind]
    at = f"blocks.0.gate.{SEG.name}"
    package = changed(
        package,
        **{
            f"{at}.weight": weight,
            f"{at}.bias": bias,
            f"{at}.mult": np.full(len(order), 1, np.uint16),
            f"{at}.shift": np.full(len(order), 5, np.uint8),
        },
    )
    return Network(package=package, image=image, queue_lengths=expected)


TOKENS = TINY.tokens
NETWORKS: dict[str, Network] = {
    "top-1": random_network(1, top_k=1),
    "top-2": random_network(2, tasks=(SEG, DEPTH)),
    "top-all": random_network(3, top_k=4, moe_blocks=(0, 1)),
    "one-expert": random_network(4, experts=1, top_k=1),
    "renormalised": random_network(5, gate_renormalise=True, top_k=3),
    "padded-heads": random_network(6, dim=48, heads=4),
    "padded-rows": random_network(7, dim=40, heads=2, mlp_hidden=72, expert_hidden=24),
    "three-tokens": random_network(8, image_height=8, image_width=16),
    "thirteen-tokens": random_network(9, image_height=16, image_width=48),
    "wide-patches": random_network(10, image_height=32, image_width=48, patch=16, channels=1),
    "classification": random_network(11, tasks=(CLASS, SEG)),
    "queues-one-rest": queue_network(12, 1, ("one", "none", "rest", "none"), (1, 0, TOKENS - 1, 0)),
    "queues-all-one-rest": queue_network(13, 2, ("all", "one", "rest", "none"), (TOKENS, 1, TOKENS - 1, 0)),
    "queues-last-takes-all": queue_network(14, 1, ("none", "rest", "none", "all"), (0, 0, 0, TOKENS)),
    "narrow-experts": narrow_network(16, "experts=4"),
    "narrow-odd-chunks": narrow_network(17, "*=4", dim=40, heads=1, mlp_hidden=72, expert_hidden=24),
    "narrow-first-layers": narrow_network(18, "*.fc1=4,*.query=4,patch_embed=4", dim=40, heads=1, expert_hidden=24),
    "narrow-second-layers": narrow_network(19, "*.fc2=4,*.proj=4,heads=4", dim=48, heads=2, expert_hidden=40),
    "queues-narrow": queue_network(
        20, 1, ("one", "none", "rest", "none"), (1, 0, TOKENS - 1, 0), "experts=4", dim=40, heads=1, expert_hidden=24
    ),
    "mean": random_network(21, tasks=(CLASS, SEG), pool="mean"),
    "mean-no-class-token": random_network(22, tasks=(CLASS, DEPTH), pool="mean", class_token="none"),
    "mean-padded": random_network(23, dim=40, heads=5, tasks=(CLASS,), pool="mean", depth=1, moe_blocks=()),
    "mean-of-one": random_network(
        24, image_height=16, image_width=16, patch=16, channels=1, tasks=(CLASS,), pool="mean", class_token="none"
    ),
    "distilled": random_network(26, tasks=(CLASS, ALL), class_token="distilled", registers=3, activation="relu"),
    "distilled-padded": random_network(27, dim=40, heads=5, tasks=(CLASS,), class_token="distilled", activation="silu"),
    "mean-norm": random_network(28, tasks=(CLASS, SEG), pool="mean_norm", dim=40, heads=5, activation="hardswish"),
    "no-class-token": random_network(25, class_token="none", image_width=48, top_k=1),
    "patches-of-2": random_network(26, patch=2, image_height=6, image_width=12),
    "patches-of-3": random_network(27, patch=3, image_height=9, image_width=27, channels=1),
    "patches-of-5": random_network(28, patch=5, image_height=10, image_width=35, channels=1),
    "patches-of-7": random_network(29, patch=7, image_height=28, image_width=14, tasks=(CLASS,)),
    "patches-of-14": random_network(30, patch=14, image_height=28, image_width=42, channels=1),
}

MANY_EXPERTS = random_network(15, experts=20, top_k=3, moe_blocks=(0,))  # gate of more than one output tile
