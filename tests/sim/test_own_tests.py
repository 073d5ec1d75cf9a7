"""What hwgen build writes for cocotb passes as it lies there, and so does what docs/own-tests.md says."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hwgen.cocotb
from golden.network import run_network
from hwgen.cocotb import BuildError, Network, SimulationError, build_top, run_tests, toolchain_environment
from hwgen.emit.cocotb_tests import TESTS_FILE, TESTS_FOLDER
from hwgen.emit.vivado import VERILOG_FILE, WRAPPER_FILE
from hwgen.frontend.store import load_model
from sim.axi_backend import SharedMemory
from sim.toolchain import find_verilator

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "build" / "test-cocotb"
PAGE = ROOT / "docs" / "own-tests.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def command(*words: str) -> str:
    """Output of a Python command that ends well."""
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built() -> Path:
    """The folder of a build, as the command line leaves it."""
    command("hwgen", "build", "--board", "sim", "-o", str(BUILT))
    return BUILT


def compared(log: Path) -> list[tuple[str, int, int]]:
    """Task, values and cycles of every comparison that a log tells of."""
    found = re.findall(r"(\w+): ([\d,]+) values equal golden, ([\d,]+) cycles", log.read_text())
    return [(task, int(values.replace(",", "")), int(cycles.replace(",", ""))) for task, values, cycles in found]


def test_the_written_tests_pass_as_they_lie_there(built: Path):
    text = command("pytest", "-p", "no:cacheprovider", "-s", str(built / TESTS_FOLDER / TESTS_FILE))
    assert "3 tests passed, log in " in text
    (free, stalled) = compared(built / TESTS_FOLDER / "runs" / "test_hwgen_top" / "simulation.log")
    assert free[:2] == stalled[:2] == ("depth", 64 * 64)
    assert 60_000 < free[2] < stalled[2]


def test_a_copy_elsewhere_finds_a_spoilt_weight(built: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    text = (built / TESTS_FOLDER / TESTS_FILE).read_text()
    text, places = re.subn(r"^BUILD = .*", f"BUILD = Path({str(built)!r})", text, flags=re.MULTILINE)
    text, tasks = re.subn(
        r"^(TASK = .*)", r"\1\nWORKLOAD.memory[WORKLOAD.memory.size // 2] ^= 64", text, flags=re.MULTILINE
    )
    assert (places, tasks) == (1, 1)
    copy = tmp_path / "test_mine.py"
    copy.write_text(text)
    monkeypatch.setenv("COCOTB_TEST_FILTER", "stall=0.0")
    with pytest.raises(SimulationError, match=r"(?s)1 of 1 tests of test_mine failed.*Mismatched elements"):
        run_tests(build_top(built), copy, seconds=120)


def test_what_goes_wrong_has_a_name(built: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("BUILT_NETWORK", str(built / "models" / "m3vit-micro"))
    assert run_tests(build_top(built), Path(__file__).with_name("axi_cocotb.py"), tmp_path, seconds=120).tests == 3


def test_the_bench_of_the_page_runs(built: Path):
    """In another folder of the build, so that the written tests stay alone in theirs."""
    (block,) = [block for block in BLOCKS if "build_bench(" in block]
    path = built / "own" / "test_bench.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(block)
    assert "Outcome(tests=2" in command("pytest", "-p", "no:cacheprovider", "-s", str(path))
    found = compared(path.parent / "runs" / "test_bench" / "simulation.log")
    assert [(task, values) for task, values, _ in found] == [("depth", 4096), ("seg", 20480)]


def test_the_page_quotes_what_is_written(built: Path):
    quoted = [block for block in BLOCKS if "import" not in block and "@cocotb" in block]
    assert len(quoted) == 1
    assert quoted[0] in (built / TESTS_FOLDER / TESTS_FILE).read_text()
    for block in BLOCKS:
        ast.parse(block)


def test_golden_is_that_of_the_network_in_the_folder(built: Path):
    network, package = Network(built / "models" / "m3vit-micro"), load_model("m3vit-micro")
    assert network.package.sha256() == package.sha256()
    image = np.random.default_rng(4).integers(0, 256, network.workload.image_shape, dtype=np.uint8)
    want = run_network(package, image, "seg")
    assert network.golden(image, "seg").keys() == want.keys()
    assert np.array_equal(network.expected(image, "seg"), want["heads.seg"])


TINY = r"""
module \hwgen_accelerator.core.trace (input [7:0] start);
  wire [7:0] post__data = start + 8'd1;
endmodule
module \hwgen_accelerator.core (input [7:0] start);
  wire [7:0] hidden = start - 8'd1;
  \hwgen_accelerator.core.trace trace (.start(start));
endmodule
module hwgen_accelerator (input [7:0] start);
  \hwgen_accelerator.core core (.start(start));
endmodule
"""


def test_named_modules_can_be_read(tmp_path: Path):
    (tmp_path / VERILOG_FILE).write_text(TINY)
    with pytest.raises(BuildError, match=r"has no hwgen_top\.v; give the folder that hwgen build wrote"):
        build_top(tmp_path)
    top = "module hwgen_top(input [7:0] start);\n  hwgen_accelerator accelerator (.start(start));\nendmodule\n"
    (tmp_path / WRAPPER_FILE).write_text(top)
    simulator = build_top(tmp_path, public=["hwgen_accelerator.core.trace"])
    tests = Path(__file__).with_name("trace_cocotb.py")
    outcome = run_tests(simulator, tests, tmp_path / "run", seconds=60)
    assert (outcome.tests, outcome.log) == (1, tmp_path / "run" / "simulation.log")
    (tmp_path / "test_nothing.py").write_text("")
    with pytest.raises(SimulationError):
        run_tests(simulator, tmp_path / "test_nothing.py", seconds=60)


def test_the_environment_finds_verilator():
    environment = toolchain_environment()
    assert shutil.which("verilator", path=environment["PATH"]) == str(find_verilator().executable)
    done = subprocess.run("verilator --version", shell=True, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "-O1" in environment["MAKEFLAGS"]


def test_a_missing_cocotbext_axi_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "cocotbext.axi", None)
    monkeypatch.delitem(sys.modules, "sim.axi_backend")
    with pytest.raises(ImportError, match=r"cocotbext-axi is missing; .* -m pip install 'cocotbext-axi==0\.1\.28'"):
        hwgen.cocotb.AxiBackend  # noqa: B018 (looked for when it is asked for)


def test_every_public_name_says_what_it_is():
    assert len(hwgen.cocotb.__all__) > 15
    for name in hwgen.cocotb.__all__:
        item = getattr(hwgen.cocotb, name)
        members = [vars(item)[key] for key in vars(item) if not key.startswith("_")] if isinstance(item, type) else []
        silent = [member for member in [item, *members] if callable(member) and not (member.__doc__ or "").strip()]
        assert silent == [], name


def test_memory_ends_where_it_ends():
    memory = SharedMemory(0x1000, 64)
    memory[0x1010:0x1014] = b"abcd"
    assert memory[0x100F:0x1015] == b"\0abcd\0"
    memory.refused = (0x1020, 16)
    assert memory[0x1010:0x1020] == memory.data[16:32]
    for span in (slice(0xFFF, 0x1001), slice(0x103F, 0x1041), slice(0x101F, 0x1021), slice(0x102F, 0x1031)):
        with pytest.raises(IndexError, match="no memory at"):
            memory[span]
