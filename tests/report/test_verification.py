"""Around a simulation: reports add up, mismatches are found and named, the self-test spoils exactly one bit."""

import json

import numpy as np
import pytest

from golden.network import run_network
from golden.reference.scenes import CLASS_NAMES
from hwgen.compiler.compile import Compiled
from hwgen.estimator.estimate import estimate
from hwgen.frontend.store import load_model
from hwgen.pipeline import flipped_layer, spoilt
from hwgen.store.report_schema import Estimate, Verify, undeclared
from sim.trace import Trace
from tests.perfect_machine import CYCLES_PER_INSTRUCTION
from tests.report.perfect_verification import DESIGN, Spoil, perfect_verification


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    return perfect_verification().compiled


def _flip(channel: str) -> Spoil:
    """One wrong bit in the middle of a trace channel."""

    def spoil(trace: Trace) -> None:
        records = trace[channel]
        records["data"][records.size // 2, 0] ^= 1

    return spoil


def test_a_perfect_machine_passes_and_the_report_adds_up(compiled: Compiled):
    found = perfect_verification(images=2)
    assert found.good
    report = json.loads(json.dumps(found.report()))
    assert report["compared"]["mismatches"] == 0
    assert report["compared"]["values"] == sum(item["values"] for item in report["tensors"]) > 800_000
    assert report["images"] == 2
    assert report["tasks"] == ["seg", "depth"]
    assert len(report["passes"]) == 4
    lengths = [len(compiled.programs[task].listing) for task in ("seg", "depth")]
    assert report["cycles"] == 2 * CYCLES_PER_INSTRUCTION * sum(lengths)
    assert report["cycles_per_image"] == report["cycles"] / 4
    macs = sum(item["macs"] for item in report["instructions"])
    assert report["macs"] == 2 * macs > 0
    assert report["mac_utilisation"] == pytest.approx(report["macs"] / (DESIGN.arch.macs * report["cycles"]))
    assert (report["ddr_read_bytes"], report["ddr_write_bytes"]) == (4000, 64)
    assert report["sim_seconds"] == 2.0


def test_every_key_of_a_report_is_declared(compiled: Compiled):
    """docs/reports.md follows from the declarations."""
    found = (
        Verify.model_validate_json(json.dumps(perfect_verification(task="seg").report())),
        Estimate.model_validate_json(json.dumps(estimate(DESIGN).to_json())),
    )
    assert [undeclared(record) for record in found] == [[], []]
    assert len(found[0].tensors) > 40
    assert len(found[1].instructions) > 40


def test_every_named_tensor_is_compared_with_golden_and_float(compiled: Compiled):
    found = perfect_verification()
    lines = {(line.task, line.name): line for line in found.tensors()}
    golden = run_network(load_model("m3vit-micro"), found.images[0], "seg")
    assert {name for task, name in lines if task == "seg"} == {*golden, "result"}
    left_out = {name: tensor.size - lines["seg", name].values for name, tensor in golden.items()}
    class_token = {"patch_embed": DESIGN.model.dim, "norm": DESIGN.model.dim}  # a row that no instruction writes
    assert {name: count for name, count in left_out.items() if count} == class_token
    without = ("scores", "queue_lengths", "result")  # nothing of that name in the float model
    measured = [line for line in lines.values() if not line.name.endswith(without)]
    assert all((line.agreement.sqnr_db or 0) > 10 or line.agreement.same for line in measured)
    assert len(measured) > 80


@pytest.mark.parametrize("channel", ["post", "norm"])
def test_one_wrong_bit_is_found_and_named(compiled: Compiled, channel: str):
    found = perfect_verification(task="seg", spoil=_flip(channel))
    assert not found.good
    assert found.mismatches == 1
    assert found.first is not None
    report = found.report()
    assert report["first_mismatch"]["tensor"] == found.first.tensor
    assert "got" in report["first_mismatch"]["text"]
    assert [line["name"] for line in report["tensors"] if line["mismatches"]] == [found.first.tensor]


def test_instructions_have_times(compiled: Compiled):
    listed = perfect_verification(task="depth").report()["instructions"]
    assert len(listed) == len(compiled.programs["depth"].listing)
    timed = [item for item in listed if item["start_cycle"] is not None]
    assert len(timed) > 60
    assert all(item["start_cycle"] <= item["end_cycle"] for item in timed)


def test_the_picture_has_a_panel_per_map(compiled: Compiled):
    found = perfect_verification()
    panels = found.panels()
    titles = ["input", "segmentation, float", "segmentation, RTL", "depth, float", "depth, RTL"]
    assert [panel.title for panel in panels] == titles
    assert all(panel.pixels.shape == (64, 64, 3) for panel in panels)
    assert found.class_names() == CLASS_NAMES
    assert (panels[1].pixels == panels[2].pixels).all(axis=-1).mean() > 0.9
    assert np.abs(panels[3].pixels.astype(int) - panels[4].pixels).mean() < 8


def test_the_self_test_changes_one_bit_of_one_weight(compiled: Compiled):
    image, other = compiled.image, spoilt(compiled).image
    changed = np.flatnonzero(image != other)
    assert changed.size == 1
    assert bin(int(image[changed[0]] ^ other[changed[0]])).count("1") == 1
    layer = flipped_layer(compiled.config)
    assert layer == "blocks.0.query"
    entry = compiled.entry(layer)
    assert entry.offset <= changed[0] < entry.offset + entry.bytes
    weight = load_model("m3vit-micro").arrays[f"{layer}.weight"]
    assert image[changed[0]].astype(np.int8) == weight[0, 0]
