"""Values beyond a calibrated range: counted per tensor, worst first, and nothing said of usual pictures."""

from dataclasses import replace

import numpy as np
import pytest

from golden.reference.m3vit_float import FloatModel
from golden.reference.scenes import HELD_OUT_FIRST_SEED, draw_scene
from hwgen.frontend.activation_input import INPUT
from hwgen.frontend.range_excess import CUT_SHARE, SHOWN, SHOWN_RUNS, excess_warnings, excesses
from hwgen.frontend.store import load_float, load_model
from tests.frontend.shapes import SMALL

NETWORK = replace(SMALL, depth=SHOWN + 2).network


def test_values_and_power_beyond_the_end_are_counted() -> None:
    """The range of an int8 tensor ends half a code after 127."""
    inside = np.full((10, 10), 127.4)
    found = excesses(
        {"blocks.0.query": inside, "blocks.0.key": inside}, {"blocks.0.query": 1.0, "blocks.0.key": 1.0}, {}, NETWORK
    )
    assert found == []
    outside = inside.copy()
    outside[3, 4], outside[5, 6] = -227.5, 137.5
    (item,) = excesses({"blocks.0.query": outside}, {"blocks.0.query": 1.0}, {}, NETWORK)
    assert (item.name, item.outside, item.values, item.largest, item.limit) == ("blocks.0.query", 2, 100, 227.5, 127.5)
    assert item.cut == pytest.approx((100.0**2 + 10.0**2) / np.square(outside).sum())
    assert str(item).startswith(
        "blocks.0.query: 2 of 100 values outside, up to 228 where the range ends at 128, leaves"
    )
    least = outside.copy()
    least[3, 4], least[5, 6] = 127.4, 128.5  # a value outside, and no power to speak of
    assert excesses({"blocks.0.query": least}, {"blocks.0.query": 1.0}, {}, NETWORK) == []


def test_residual_and_hidden_units_have_ranges_of_their_own() -> None:
    tensors = {"patch_embed": np.full((2, 2), 200.0), "blocks.0.expert_hidden": np.full((2, 2, 2), 20.0)}
    (item,) = excesses(tensors, {"patch_embed": 1.0, "blocks.0.hidden": 1.0}, {}, NETWORK)
    assert (item.name, item.limit, item.outside) == ("blocks.0.hidden", 16.0, 8)
    (said,) = excess_warnings([("it", tensors)], {"blocks.0.hidden": 1.0}, {}, NETWORK)
    assert "leaves the calibrated range of a tensor, where the machine cuts:\n  blocks.0.hidden: 8 of 8" in said
    assert "up to 20 where the input of GELU ends at 16, leaves" in said
    assert "--calib" not in said  # no pictures would help
    wider = {"blocks.0.hidden": 1.0, INPUT: 2.0**-10}
    assert excesses(tensors, wider, {}, NETWORK) == []  # it ends at 32 there
    (item,) = excesses({"patch_embed": np.full((2, 2), 70_000.0)}, {"patch_embed": 1.0}, {}, NETWORK)
    assert item.limit == 32767.5


def test_a_zero_point_moves_both_ends_of_a_range() -> None:
    """Codes -127..127 around -100: values from -27.5 to 227.5."""
    scales, zeros = {"blocks.0.hidden": 0.05}, {"blocks.0.hidden": -100}
    name = "blocks.0.expert_hidden"
    inside = np.array([[[-27.4, 227.4, 0.0, 100.0]]]) * 0.05
    assert excesses({name: inside}, scales, zeros, NETWORK) == []
    (above,) = excesses({name: inside + np.array([0.0, 5.0, 0.0, 0.0])}, scales, zeros, NETWORK)
    assert (above.outside, above.limit) == (1, pytest.approx(227.5 * 0.05))
    (below,) = excesses({name: inside - np.array([5.0, 0.0, 0.0, 0.0])}, scales, zeros, NETWORK)
    assert (below.outside, below.limit) == (1, pytest.approx(27.5 * 0.05))
    assert below.largest == pytest.approx(5.0 + 27.4 * 0.05)


def test_the_worst_tensors_and_runs_are_listed_and_the_rest_is_counted() -> None:
    names = [f"blocks.{block}.query" for block in range(SHOWN + 2)]
    scales = dict.fromkeys(names, 1.0)
    runs = [
        (f"run {number}", {name: np.full((3, 4), 140.0 + 10 * number + k) for k, name in enumerate(names)})
        for number in range(SHOWN_RUNS + 2)
    ]
    said = excess_warnings([("quiet", {names[0]: np.ones((3, 4))}), *runs], scales, {}, NETWORK)
    assert len(said) == SHOWN_RUNS + 1
    assert [text.split(" leaves")[0] for text in said[:-1]] == ["run 4", "run 3", "run 2"]
    lines = said[0].splitlines()
    assert lines[0] == "run 4 leaves the calibrated range of 7 tensors, where the machine cuts:"
    assert [line.split(":")[0].strip() for line in lines[1:6]] == names[:1:-1]
    assert lines[6] == "  and 2 more; 84 values in all"
    assert lines[7] == "  calibrate with pictures like it: hwgen quantize --calib FOLDER"
    assert said[-1] == "2 more pictures and tasks leave calibrated ranges, too"


def test_usual_pictures_of_the_shipped_network_stay_inside_and_flat_ones_do_not() -> None:
    package = load_model("m3vit-micro")
    model = FloatModel(load_float("m3vit-micro"), package.config, details=True)
    scenes = [draw_scene(HELD_OUT_FIRST_SEED + seed).image for seed in range(6)]
    usual = [(f"{n}", model.run(image, task)) for n, image in enumerate(scenes) for task in ("seg", "depth")]
    assert excess_warnings(usual, package.scales, package.zeros, package.config.network) == []
    cut = [np.square(np.maximum(np.abs(t["norm"]) - 127.5 * package.scales["norm"], 0)).sum() for _, t in usual]
    assert max(cut) > 0.0  # values are outside on usual pictures, too: only much of them is worth a word
    black = model.run(np.zeros((64, 64, 3), np.uint8), "seg")
    (said,) = excess_warnings([("black", black)], package.scales, package.zeros, package.config.network)
    assert "blocks.0.context: " in said
    assert CUT_SHARE == 1e-3
