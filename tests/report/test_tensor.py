"""A tensor of a verification: equal arrays when nothing differs, and what is missing or wrong shows in them."""

import io
import sys
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from PIL import Image

from hwgen.report import plots
from hwgen.report.tensor import Tensor
from hwgen.report.tensor_file import save_tensors
from hwgen.report.verification import Verification
from sim.toolchain import ToolMissing
from sim.trace import Trace
from tests.report.perfect_verification import DESIGN, Spoil, perfect_verification

PATCHES, TOKENS = 64, 65


@pytest.fixture(scope="module")
def found() -> Verification:
    return perfect_verification(images=2)


def test_the_natural_check_is_true(found: Verification):
    compared = 0
    for tensor in found:
        assert np.array_equal(tensor.rtl, tensor.golden), tensor
        assert tensor.written.shape == tensor.rtl.shape == tensor.shape
        assert tensor.shape[0] == 2
        compared += tensor.values
    assert compared == found.values > 900_000


def test_rows_that_nobody_writes_are_masked(found: Verification):
    tensor = found["seg", "patch_embed"]
    assert tensor.shape == (2, TOKENS, 64)
    assert not tensor.written[:, 0].any()
    assert tensor.written[:, 1:].all()
    assert tensor.float is not None
    assert not tensor.float[:, 0].any()
    assert not tensor.golden[:, 0].any()
    assert np.count_nonzero(found.passes[0].golden["patch_embed"][0])  # golden computes it: the class token
    assert tensor.values == 2 * PATCHES * 64


def test_what_a_tensor_says(found: Verification):
    tensor = found["seg", "blocks.1.moe"]
    assert tensor.scale == found.scales["blocks.1.moe"]
    assert np.array_equal(tensor.real, tensor.rtl * tensor.scale)
    line = next(line for line in found.tensors() if (line.task, line.name) == ("seg", "blocks.1.moe"))
    assert (line.values, line.agreement.sqnr_db, line.agreement.cosine) == (tensor.values, tensor.sqnr, tensor.cosine)
    assert repr(tensor) == "<Tensor blocks.1.moe of task seg: [2, 65, 64], 0 mismatches>"
    chosen = found["depth", "blocks.3.experts"]
    assert (chosen.scale, chosen.sqnr) == (None, None)
    assert chosen.same is not None
    assert chosen.same > 0.9
    with pytest.raises(ValueError, match="has no scale"):
        _ = chosen.real
    assert found["seg", "blocks.0.scores"].float is None


def test_codes_of_hidden_units_are_read_from_their_zero_point():
    codes, real = np.array([[-100, 27], [0, -127]]), np.array([[0.0, 12.7], [10.0, -2.7]])
    whole = np.ones((2, 2), bool)
    tensor = Tensor.of_runs("seg", "blocks.0.hidden", [(codes, whole, codes, real)], (0.1, -100), 0)
    assert (tensor.scale, tensor.zero) == (0.1, -100)
    assert np.allclose(tensor.real[0], real)
    assert tensor.sqnr is not None
    assert tensor.sqnr > 100.0
    assert Tensor.of_runs("seg", "blocks.0.hidden", [(codes, whole, codes, real)], (0.1, 0), 0).sqnr < 10.0


def test_the_result_is_what_the_host_reads(found: Verification):
    result, head = found["seg", "result"], found["heads.seg"]
    assert np.array_equal(result.rtl, head.rtl)
    assert (result.scale, result.sqnr) == (head.scale, head.sqnr)


def test_names_of_one_task_need_no_task(found: Verification):
    assert found["heads.depth"].task == "depth"
    with pytest.raises(KeyError, match=r"in the tasks seg, depth; say which: run\['seg', 'norm'\]"):
        _ = found["norm"]
    with pytest.raises(KeyError, match=r"no tensor 'nrm' in task seg; did you mean 'norm'\?"):
        _ = found["seg", "nrm"]
    with pytest.raises(KeyError, match="no task 'x' in this run; it has seg, depth"):
        _ = found["x", "norm"]
    for key in (5, None, (), ("seg",), ("seg", 5), ("seg", "norm", "x")):
        with pytest.raises(KeyError, match="give the name of a tensor, or those of a task and a tensor"):
            _ = found[cast("str", key)]
    assert perfect_verification(task="seg")["norm"].task == "seg"


def test_what_a_run_has_is_in_it(found: Verification):
    assert "norm" in found
    assert ("depth", "norm") in found
    assert "nrm" not in found
    assert ("x", "norm") not in found


def _flip(trace: Trace) -> None:
    records = trace["norm"]
    records["data"][records.size // 2, 0] ^= 1


def _drop(trace: Trace) -> None:
    trace["norm"] = trace["norm"][:-1]


@pytest.mark.parametrize(("spoil", "values"), [(_flip, 1), (_drop, 16)])
def test_a_fault_is_a_difference(spoil: Spoil, values: int):
    found = perfect_verification(task="seg", spoil=spoil)
    wrong = [tensor for tensor in found if not np.array_equal(tensor.rtl, tensor.golden)]
    assert len(wrong) == 1
    assert np.count_nonzero(wrong[0].rtl != wrong[0].golden) == wrong[0].mismatches == found.mismatches == values


def test_the_file_holds_every_array(found: Verification, tmp_path: Path):
    save_tensors(found, tmp_path / "run.npz")
    with np.load(tmp_path / "run.npz") as data:
        tensor = found["seg", "blocks.1.moe"]
        for kind in ("rtl", "golden", "float", "written", "scale"):
            assert np.array_equal(data[f"seg/blocks.1.moe/{kind}"], getattr(tensor, kind)), kind
        assert np.array_equal(data["images"], np.stack(found.images))
        assert "seg/blocks.1.scores/float" not in data
        assert {name.split("/")[0] for name in data.files} == {"images", "seg", "depth"}


@pytest.mark.parametrize(
    ("name", "index", "panels"),
    [("blocks.1.moe", (1,), 3), ("blocks.1.scores", (1, 1), 3), ("blocks.1.queue_lengths", (), 3)],
)
def test_a_plot_shows_both_sides(found: Verification, name: str, index: tuple[int, ...], panels: int):
    figure = found["seg", name].plot(*index)
    drawn = [axis for axis in figure.axes if axis.get_title()]
    assert drawn[0].get_title() == "RTL"
    assert len(drawn) == panels
    assert "differ in 0 values" in figure.get_suptitle()
    if name == "blocks.1.moe":
        tensor = found["seg", name]
        assert np.array_equal(np.asarray(drawn[0].images[0].get_array()), tensor.real[1])
        assert tensor.float is not None
        assert np.array_equal(np.asarray(drawn[2].images[0].get_array()), tensor.real[1] - tensor.float[1])


def test_a_notebook_shows_a_plot(found: Verification):
    """Also before anything there has imported pyplot, which is what teaches IPython how to show figures."""
    with Image.open(io.BytesIO(found["seg", "norm"].plot()._repr_png_())) as image:
        assert image.width > 2 * image.height > 200


def test_a_plot_of_no_such_head(found: Verification):
    with pytest.raises(IndexError, match="2 indices given, it takes at most 1"):
        found["seg", "norm"].plot(0, 1)


def test_without_matplotlib(found: Verification, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "hwgen.report.figure", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ToolMissing, match=r"plots need matplotlib; install it with: .*plots"):
        found["seg", "norm"].plot()


def test_the_picture_and_the_line(found: Verification):
    assert found.picture().width > 4 * 256
    assert found.summary().startswith(f"m3vit-micro on {DESIGN.board.name} (arch sim): ")
    assert "0 mismatches" in repr(found)
    assert replace(found, passes=()).values == 0
    assert plots.COLOURS != plots.SIGNED_COLOURS
