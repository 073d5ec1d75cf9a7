"""Whether new figures are worse than the kept ones."""

from collections.abc import Iterator

from benchmarks.figures import Figures

TOLERANCE = 0.01  # relative; exposed cycles: of all cycles
HIGHER_IS_WORSE = ("cycles", "attention_cycles", "ddr_read_bytes", "ddr_write_bytes", "dsp", "mismatches")
LOWER_IS_WORSE = ("mac_utilisation", "compared_values")


def worse(kept: Figures, new: Figures) -> list[str]:
    """A line for every figure of ``new`` that is worse than in ``kept`` by more than the tolerance."""
    return list(_worse(kept, new))


def _worse(kept: Figures, new: Figures) -> Iterator[str]:
    for name in HIGHER_IS_WORSE:
        before, now = getattr(kept, name), getattr(new, name)
        comparable = name != "dsp" or kept.dsp_source == new.dsp_source
        if comparable and now > before * (1 + TOLERANCE):
            yield _line(new, name, before, now)
    for name in LOWER_IS_WORSE:
        before, now = getattr(kept, name), getattr(new, name)
        if now < before * (1 - TOLERANCE):
            yield _line(new, name, before, now)
    for cause, before in kept.exposed.items():
        now = new.exposed[cause]
        if now - before > TOLERANCE * kept.cycles:
            yield _line(new, f"exposed: {cause}", before, now)


def _line(new: Figures, name: str, before: float, now: float) -> str:
    change = f" ({now / before - 1:+.1%})" if before else ""
    return f"{new.name}: {name} {before:,} -> {now:,}{change}"
