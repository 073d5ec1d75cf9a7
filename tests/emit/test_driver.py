"""The copied driver runs without the rest of hwgen; the example runs it on a machine that answers at once."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from hwgen.compiler.compile import compile_model
from hwgen.driver.workload import Workload
from hwgen.emit.driver import EXAMPLE_FILE, sources, write_driver
from hwgen.frontend.store import load_model
from hwgen.spec.registers import BY_NAME
from hwgen.store.archs import arch_preset

# A stand-in for the pynq package: an accelerator that is always done and leaves 0x1234 in every result.
PYNQ = """
import numpy as np

class Accelerator:
    def read(self, offset):
        return {{{ap_ctrl}: 6, {isr}: 1, {arch_id}: {identity}, {cycles}: 4321}}.get(offset, 0)

    def write(self, offset, value):
        if offset == {ap_ctrl} and value == 1:
            buffers[0][{result}:] = np.resize(np.array([0x34, 0x12], np.uint8), buffers[0].size - {result})

class Overlay:
    def __init__(self, name):
        self.accelerator = Accelerator()

class Buffer(np.ndarray):
    device_address = 0x10000000
    def flush(self): pass
    def invalidate(self): pass

buffers = []

def allocate(shape, dtype):
    buffers.append(np.zeros(shape, dtype).view(Buffer))
    return buffers[0]
"""


ABSENT = ("pydantic", "yaml", "safetensors", "amaranth", "cocotb", "torch", "rich")  # a board has NumPy and Pillow


def test_only_what_is_needed_is_copied():
    names = {str(path) for path in sources()}
    assert {"hwgen/__init__.py", "hwgen/driver/device.py", "hwgen/spec/registers.py", "hwgen/spec/arch.py"} <= names
    assert not any("rtl" in name or "compiler" in name for name in names)


def test_the_example_runs(tmp_path: Path):
    arch, package = arch_preset("sim"), load_model("m3vit-micro")
    workload = Workload.from_compiled(compile_model(package, arch))
    workload.save(tmp_path / "model")
    write_driver(tmp_path, "accelerator", 300)
    offsets = {name.lower(): BY_NAME[name].offset for name in ("AP_CTRL", "ISR", "ARCH_ID", "CYCLES")}
    text = PYNQ.format(identity=arch.arch_id, result=workload.result_offset, **offsets)
    (tmp_path / "driver" / "pynq.py").write_text(text)
    for name in ABSENT:
        (tmp_path / "driver" / f"{name}.py").write_text(f"raise ImportError('a board has no {name}')\n")
    Image.fromarray(np.zeros((64, 64, 3), dtype=np.uint8)).save(tmp_path / "in.png")
    command = [sys.executable, EXAMPLE_FILE, "overlay.xsa", "model", "in.png", "seg"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "driver")}
    check = "import hwgen; print(hwgen.__file__)"
    kwargs = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "timeout": 60}
    found = subprocess.run([sys.executable, "-c", check], check=True, **kwargs)
    assert found.stdout.startswith(str(tmp_path))
    result = subprocess.run(command, check=False, **kwargs)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "seg: 64 rows of 320, 4321 cycles"
    codes = np.load(tmp_path / "seg.npy")
    assert codes.shape == (64, 320)
    assert (codes == 0x1234).all()
