"""Machines on which little fits whole: layers come in parts, and tensors lie on each other as soon as they may."""

from dataclasses import replace

from hwgen.compiler.fit import problems
from hwgen.spec.arch import ArchConfig
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.graph import Network

KIB = 1024
_SIZES = ("residual_bytes", "norm_bytes", "activation_bytes", "key_bytes", "value_bytes", "score_words", "ring_bytes")


def _small(name: str, **sizes: int) -> ArchConfig:
    return replace(ARCHS[name], name=f"small-{name}", **sizes)


# Rings hold a layer of experts, the other buffers less than most networks of tests/golden/random_graphs.py would like.
SMALL = {
    arch.name: arch
    for arch in (
        _small("sim", ring_bytes=4 * KIB, score_words=12, activation_bytes=6 * KIB, norm_bytes=KIB),
        _small("sim-1x8x8", ring_bytes=3 * KIB, score_words=16, activation_bytes=5 * KIB, norm_bytes=KIB),
        _small("sim-3x8x16", ring_bytes=6 * KIB, score_words=8, activation_bytes=4 * KIB, norm_bytes=KIB),
        _small("sim-2x16x16", ring_bytes=8 * KIB, score_words=6, activation_bytes=5 * KIB, norm_bytes=KIB),
    )
}


def least_machine(network: Network, arch: ArchConfig) -> ArchConfig:
    """``arch`` with every buffer as small as the messages of those that are smaller still say."""
    sizes = {field: arch.limits(field)[0] for field in _SIZES} | {"param_entries": 2}
    while found := problems(network, replace(arch, name="least", **sizes)):
        for text in found:
            field, _, value = text.rpartition("; set ")[2].partition(" >= ")
            sizes[field] = max(sizes.get(field, 0), int(value))
    return replace(arch, name="least", **sizes)
