"""Kept figures: complete, right, the same in every document, and what the estimate says of them."""

from dataclasses import replace

import pytest

from benchmarks.cases import CASES, Case, cases
from benchmarks.check import TOLERANCE, worse
from benchmarks.figures import OTHER, SYNTHESIS, Figures, least_bytes
from benchmarks.published import OURS, PUBLISHED
from benchmarks.results import (
    BEGIN,
    END,
    MARKDOWN,
    PAGE,
    README,
    load,
    markdown,
    save,
    with_published,
    with_tables,
)
from hwgen.estimator.estimate import estimate
from hwgen.spec.presets import M3VIT_MICRO, M3VIT_TINY
from hwgen.spec.weight_bits import with_weight_bits

KEPT = load()


def example() -> Figures:
    """Some figures."""
    return Figures(
        model="m3vit-micro",
        board="sim",
        arch="sim",
        task="seg",
        clock_mhz=100.0,
        cycles=100_000,
        macs=17_106_432,
        mac_utilisation=0.75,
        mac_cycles=80_000,
        exposed={"operand": 100, "weight": 15_000, OTHER: 4_900},
        attention_cycles=10_000,
        ddr_read_bytes=500_000,
        ddr_write_bytes=40_000,
        ddr_least_bytes=500_000,
        dsp=300,
        dsp_source="estimate",
        compared_values=1000,
        mismatches=0,
        queues={"blocks.1.queue_lengths": [65, 65]},
        estimated_cycles=101_000,
        information={"sim_cycles_per_second": 1.0, "sim_seconds": 1.0},
    )


def test_every_case_is_kept():
    assert list(KEPT) == [case.name for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_kept_figures_make_sense(case: Case):
    item, design = KEPT[case.name], case.design
    assert (item.model, item.board, item.arch) == (case.model, case.board, design.arch.name)
    assert item.weights == case.weights
    assert item.mismatches == 0
    assert item.compared_values > 100_000
    assert item.mac_cycles + sum(item.exposed.values()) == item.cycles
    assert min(item.exposed.values()) >= 0
    assert item.mac_utilisation == pytest.approx(item.macs / design.arch.macs / item.cycles, abs=1e-4)
    assert item.mac_utilisation <= item.mac_cycles / item.cycles
    assert item.ddr_ratio >= 1
    for lengths in item.queues.values():
        assert sum(lengths) == design.model.tokens * design.model.top_k
    assert len(item.queues) == len(design.model.moe_blocks)


@pytest.mark.parametrize("item", KEPT.values(), ids=list(KEPT))
def test_the_kept_estimate_is_within_one_percent(item: Figures):
    """Of the RTL, with the routing of the simulated image."""
    assert abs(item.estimate_error) < 0.01


@pytest.mark.parametrize("case", [case for case in CASES if case.quick], ids=lambda case: case.name)
def test_the_estimate_is_the_kept_one(case: Case):
    """Large networks take seconds each; deit-tiny on the same machine says as much."""
    item = KEPT[case.name]
    found = estimate(case.design, item.task, queues=item.queues or None)
    assert found.cycles == pytest.approx(item.estimated_cycles, rel=0.01)
    assert (found.ddr_read_bytes, found.ddr_write_bytes) == (item.ddr_read_bytes, item.ddr_write_bytes)


@pytest.mark.parametrize(
    ("name", "most_ms"),
    [
        ("deit-tiny/zcu102/zcu102-6x16x32", 1.554),
        ("deit-small/zcu102/zcu102-4x16x32", 7.8),
        ("deit-small/zcu102/zcu102-6x16x32", 5.4),
        ("deit-base/zcu102/zcu102-6x16x32", 22.0),
        ("deit-base/zcu102/zcu102-8x16x32-base", 17.5),
    ],
)
def test_large_networks_in_time(name: str, most_ms: float):
    assert KEPT[name].milliseconds < most_ms


def test_tables_come_from_the_results():
    """``python -m benchmarks --tables`` writes them again."""
    kept, text = list(KEPT.values()), PAGE.read_text()
    assert MARKDOWN.read_text() == markdown(kept)
    assert text == with_tables(text, kept)
    assert f"{kept[0].cycles:,}" in text.partition(BEGIN)[2].partition(END)[0]


def test_a_changed_figure_changes_the_page():
    kept = list(KEPT.values())
    other = [replace(kept[0], cycles=kept[0].cycles + 1), *kept[1:]]
    assert with_tables(PAGE.read_text(), other) != PAGE.read_text()
    with pytest.raises(ValueError, match="lacks <!-- python -m benchmarks -->"):
        with_tables("no markers", kept)


def test_published_figures_stand_beside_those_that_are_kept():
    text = README.read_text()
    assert text == with_published(text, KEPT)
    table = text.partition(BEGIN)[2].partition(END)[0]
    assert all(f"{KEPT[name].milliseconds:.2f}" in table and f"{KEPT[name].cycles:,}" in table for name in OURS)
    assert all(item.source in table for item in PUBLISHED)
    name = next(iter(OURS))
    assert with_published(text, KEPT | {name: replace(KEPT[name], cycles=1)}) != text


def test_figures_survive_the_file(tmp_path):
    path = tmp_path / "results.json"
    save({"m3vit-micro/sim": example()}, path)
    assert load(path) == {"m3vit-micro/sim": example()}
    assert load(tmp_path / "missing.json") == {}


def test_what_counts_as_worse():
    kept = example()
    assert worse(kept, kept) == []
    assert worse(kept, replace(kept, cycles=101_000, mac_utilisation=0.7426, ddr_read_bytes=504_999)) == []
    slower = worse(kept, replace(kept, cycles=101_001))
    assert slower == ["m3vit-micro/sim: cycles 100,000 -> 101,001 (+1.0%)"]
    assert len(worse(kept, replace(kept, mac_utilisation=0.74))) == 1
    assert len(worse(kept, replace(kept, ddr_write_bytes=41_000, dsp=400))) == 2
    assert len(worse(kept, replace(kept, mismatches=1))) == 1
    assert len(worse(kept, replace(kept, compared_values=500))) == 1
    shifted = {**kept.exposed, "operand": 100 + round(TOLERANCE * kept.cycles) + 1}
    assert worse(kept, replace(kept, exposed=shifted)) == ["m3vit-micro/sim: exposed: operand 100 -> 1,101 (+1001.0%)"]
    assert worse(kept, replace(kept, cycles=50_000, information={})) == []
    assert worse(kept, replace(kept, dsp=400, dsp_source=SYNTHESIS)) == []  # no longer the same count


def test_cases_by_name():
    assert cases([]) == list(CASES)
    assert cases(["m3vit-tiny/zcu102"]) == [Case("m3vit-tiny", "zcu102")]
    assert cases(["m3vit-tiny/zcu102/experts=4"]) == [Case("m3vit-tiny", "zcu102", "experts=4")]
    with pytest.raises(ValueError, match="no case vit/sim; there are m3vit-micro/sim"):
        cases(["vit/sim"])


def test_least_bytes_by_hand():
    """Weights and their parameters once; the gates and the head of the other task stay in memory."""
    one = least_bytes(M3VIT_MICRO, M3VIT_MICRO.task("seg"))
    other = least_bytes(M3VIT_MICRO, M3VIT_MICRO.task("depth"))
    outputs = (5 - 1) * 64  # more outputs of the head: weights, bias, multiplier, shift; and results of 64 patches
    assert one - other == outputs * (64 + 4 + 2 + 1) + outputs * 2 * 64
    tiny = least_bytes(M3VIT_TINY, M3VIT_TINY.task("seg"))
    assert 18_000_000 < tiny < 18_700_000
    narrow = with_weight_bits(M3VIT_TINY, "experts=4")
    assert tiny - least_bytes(narrow, narrow.task("seg")) == 6 * 16 * 2 * 192 * 384 // 2
