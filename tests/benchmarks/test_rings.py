"""What a small ring costs is what the table says, and the RTL was measured within 1 % of it."""

from pathlib import Path

from benchmarks.results import load
from benchmarks.rings import cycles

TABLE = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text()


def test_the_table_of_rings():
    """The row of 96 KiB; two networks that no longer fit whole, and one that does not fit 48 KiB at all."""
    found = [cycles(model, 96, rate) for model in ("deit-tiny", "m3vit-tiny") for rate in (1.0, 0.5)]
    assert all(found)
    assert f"| 96 | {' | '.join(f'{item / 1e3:.0f}' for item in found if item)} |" in TABLE
    assert cycles("m3vit-tiny", 48, 1.0) is None


def test_rings_on_the_rtl():
    """Every value was equal, and the estimate with the queues of the image within 1 %."""
    kept = [load()[f"{model}/zcu102/zcu102-ring96"] for model in ("deit-tiny", "m3vit-tiny")]
    for figures in kept:
        assert figures.mismatches == 0
        assert figures.compared_values > 100_000
        assert abs(figures.estimated_cycles / figures.cycles - 1) < 0.01
        assert f"{figures.cycles:,}" in TABLE


def test_a_quarter_of_the_ring_costs_a_dense_network_nothing():
    """On the RTL, 384 KiB beside 1,536."""
    quarter, whole = (load()[f"deit-tiny/zcu102{ring}"] for ring in ("/zcu102-ring384", ""))
    assert quarter.mismatches == 0
    assert abs(quarter.cycles / whole.cycles - 1) < 0.001
    assert f"{quarter.cycles:,} with 384 KiB" in TABLE
