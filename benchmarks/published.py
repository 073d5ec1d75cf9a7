"""Figures that others have published for the same networks, with their sources, beside those that are kept here."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.figures import ESTIMATE, Figures

M3VIT, VIT, SMALL, BASE = "M3ViT-tiny", "ViT-Ti / DeiT-Ti", "ViT-S / DeiT-S", "ViT-B / DeiT-B"
HERE = "hwgen, simulated"


@dataclass(frozen=True, kw_only=True)
class Published:
    """One line: what a paper says of an image at batch size one."""

    design: str
    network: str
    tokens: str  # as the paper or its code says
    board: str
    bits: str  # of weights / activations
    dsp: str
    milliseconds: float
    source: str


PUBLISHED = (
    Published(
        design="Edge-MoE",
        network=M3VIT,
        tokens="129",
        board="ZCU102, 300 MHz",
        bits="16 / 32",
        dsp="",
        milliseconds=34.64,
        source="Sarkar et al., ICCAD 2023, arXiv 2305.18691; tokens from its code",
    ),
    Published(
        design="UbiMoE",
        network=M3VIT,
        tokens="not stated",
        board="ZCU102, 300 MHz",
        bits="16 / 32",
        dsp="1,850",
        milliseconds=25.76,
        source="Dong et al. 2025, arXiv 2502.05602",
    ),
    Published(
        design="CoQMoE",
        network=M3VIT,
        tokens="not stated",
        board="ZCU102, 300 MHz",
        bits="8 / 8",
        dsp="1,754",
        milliseconds=6.47,
        source="Dong et al. 2025, arXiv 2506.08496",
    ),
    Published(
        design="Huang et al.",
        network=VIT,
        tokens="197",
        board="ZCU102, 300 MHz",
        bits="8 / 8",
        dsp="1,268",
        milliseconds=4.08,
        source="IEEE TCAS-I 2023",
    ),
    Published(
        design="HG-PIPE",
        network=VIT,
        tokens="not stated",
        board="VCK190, 425 MHz",
        bits="3 to 4",
        dsp="312",
        milliseconds=1.94,
        source="Guo et al., ICCAD 2024, arXiv 2407.17879",
    ),
    Published(
        design="Auto-ViT-Acc",
        network=SMALL,
        tokens="not stated",
        board="ZCU102, 150 MHz",
        bits="mixed",
        dsp="1,552",
        milliseconds=10.0,
        source="Li et al., FPL 2022, arXiv 2208.05163; 99.7 images a second",
    ),
    Published(
        design="HeatViT",
        network=SMALL,
        tokens="fewer from block to block",
        board="ZCU102",
        bits="8 / 8",
        dsp="",
        milliseconds=9.15,
        source="Dong et al., HPCA 2023, arXiv 2211.08110",
    ),
    Published(
        design="Auto-ViT-Acc",
        network=BASE,
        tokens="not stated",
        board="ZCU102, 150 MHz",
        bits="mixed",
        dsp="",
        milliseconds=17.6,
        source="Li et al., FPL 2022, arXiv 2208.05163; 56.8 images a second",
    ),
)
OURS = {  # case -> network and tokens
    "m3vit-tiny/zcu102": (M3VIT, "129"),
    "m3vit-tiny/zcu102/zcu102-8x16x32/experts=4": (M3VIT, "129"),
    "m3vit-tiny-197/zcu102": (M3VIT, "197"),
    "deit-tiny/zcu102": (VIT, "197"),
    "deit-tiny/zcu102/zcu102-6x16x32": (VIT, "197"),
    "deit-small/zcu102/zcu102-4x16x32": (SMALL, "197"),
    "deit-small/zcu102/zcu102-6x16x32": (SMALL, "197"),
    "deit-base/zcu102/zcu102-6x16x32": (BASE, "197"),
    "deit-base/zcu102/zcu102-8x16x32-base": (BASE, "197"),
}
HEADER = ("network", "tokens", "design", "board", "bits", "DSPs", "ms", "source")


def _published(item: Published) -> tuple[str, ...]:
    figures = (item.board, item.bits, item.dsp, f"{item.milliseconds:.2f}", item.source)
    return (item.network, item.tokens, item.design, *figures)


def _ours(item: Figures, network: str, tokens: str) -> tuple[str, ...]:
    macs = f", {item.arch}" if item.arch != item.board else ""
    bits = "8 / 8, experts 4 / 8" if item.weights else "8 / 8"
    dsp = f"{item.dsp:,}{' (estimate)' if item.dsp_source == ESTIMATE else ''}"
    board = f"{item.board.upper()}, {item.clock_mhz:g} MHz assumed"
    where = f"`make bench`{macs}; {item.cycles:,} cycles"
    return (network, tokens, f"**{HERE}**", board, bits, dsp, f"**{item.milliseconds:.2f}**", where)


def rows(kept: dict[str, Figures]) -> list[Sequence[str]]:
    """Published figures of a network, then those of this machine, network by network."""
    found: list[Sequence[str]] = []
    for network in (M3VIT, VIT, SMALL, BASE):
        found += [_published(item) for item in PUBLISHED if item.network == network]
        found += [_ours(kept[name], *said) for name, said in OURS.items() if said[0] == network and name in kept]
    return found
