# %% [markdown]
# # 6. A test of your own
#
# Before a machine goes onto a board, an engineer wants to torture it: slow memory, stalls, errors on the bus. The tests
# of hwgen do that. This notebook shows how to write such a test yourself, in Python, with cocotb.
#
# The question: how slow may the memory be before the accelerator suffers? And is the result right even then?

# %%
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import hwgen
from hwgen.cocotb import BenchMemory, DdrSettings, Network, SimulationError, build_bench, run_tests

# %% [markdown]
# ## A build
#
# `build` writes the folder of a machine: its Verilog, the network's memory image, the driver. `build_bench` compiles a
# simulator of it, with a memory whose speed can be chosen. That takes a minute or two, once.

# %%
built = hwgen.build(board="sim", model="m3vit-micro", say=print)
simulator = build_bench(built.folder)
sorted(path.name for path in built.folder.iterdir())

# %% [markdown]
# ## The test
#
# A cocotb test is a coroutine in a file of its own. `Device` is the driver, the same class as on a board: it loads the
# network, starts the machine, and sleeps until the interrupt. `Network.expected` is what golden says of the image.
#
# What the test has found out it leaves in `counters.json`: the machine counts the cycles in which its multipliers work,
# and those in which they wait, by reason. An argument of the simulator, `spoil`, flips a bit of a weight.

# %%
TEST = Path("test_slow_memory.py")
TEST.write_text("""
import json
from pathlib import Path

import cocotb
import numpy as np

from hwgen.cocotb import BenchBackend, Device, Network

NETWORK = Network(Path(__file__).parent / "build" / "sim-sim" / "models" / "m3vit-micro")
WORKLOAD = NETWORK.workload
IMAGE = np.random.default_rng(5).integers(1, 256, WORKLOAD.image_shape, dtype=np.uint8)


@cocotb.test()
async def whole_image(dut):
    if "spoil" in cocotb.plusargs:
        WORKLOAD.memory[WORKLOAD.memory.size // 2] ^= 64
    device = Device(await BenchBackend.start(dut))
    await device.load(WORKLOAD)
    result = await device.run("seg", IMAGE)
    np.testing.assert_array_equal(result.data, NETWORK.expected(IMAGE, "seg"))
    assert len(np.unique(result.data)) > 1
    Path("counters.json").write_text(json.dumps(result.counters))
""")
assert TEST.is_file()

# %% [markdown]
# ## Three memories
#
# The latency is how many cycles a read waits for its first data. Every run of the test is a simulation of a whole
# image; its result must be golden's, however late the data come.

# %%
workload = Network(built.network_folder).workload
LATENCIES = [50, 150, 400]
counters = {}
for latency in LATENCIES:
    memory = BenchMemory(memory_bytes=workload.memory_bytes, ddr=DdrSettings(latency_cycles=latency))
    outcome = run_tests(simulator, TEST, memory=memory)
    counters[latency] = json.loads((outcome.log.parent / "counters.json").read_text())
    print(f"latency {latency:5,}: {outcome.tests} test passed, {counters[latency]['CYCLES']:,} cycles")

# %% [markdown]
# All of them are right, and the slow ones are slow. Where do the cycles go?

# %%
PARTS = {
    "MAC_CYCLES": "multiplying",
    "WAIT_WEIGHT": "waiting for weights",
    "WAIT_OPERAND": "waiting for operands",
    "WAIT_DEPENDENCE": "waiting for results of others",
    "WAIT_DRAIN": "waiting for accumulators",
    "WAIT_IDLE": "nothing to do",
}
figure, axis = plt.subplots(figsize=(10, 3.6), layout="constrained")
left = np.zeros(len(LATENCIES))
for name, label in PARTS.items():
    cycles = np.array([counters[latency][name] for latency in LATENCIES])
    axis.barh([f"{latency:,}" for latency in LATENCIES], cycles, left=left, label=label)
    left += cycles
axis.set_xlabel("clock cycles for one image")
axis.set_ylabel("latency of the memory, cycles")
axis.legend(fontsize=8)
axis.invert_yaxis()

# %% [markdown]
# The multipliers have the same work every time. A short latency is hidden: weights are asked for long before they are
# needed. But only so many requests may be on their way at a time, and beyond some 100 cycles they are too few for this
# machine: the memory stands idle while it waits for the next one, and so do the multipliers.
#
# ## A test must be able to fail
#
# We spoil one bit of the network in the memory of the machine. Golden does not know. A good test says so.

# %%
try:
    memory = BenchMemory(memory_bytes=workload.memory_bytes)
    run_tests(simulator, TEST, memory=memory, plusargs={"spoil": 1})
    failure = None
except SimulationError as error:
    failure = str(error)
assert failure is not None
assert "Mismatched elements" in failure
print(*[line.strip() for line in failure.splitlines() if "ismatch" in line], sep="\n")

# %% [markdown]
# `docs/own-tests.md` goes on from here: stalls on every channel, errors on the bus, ports that fall silent, signals
# within the machine, and `hwgen_top` under cocotbext-axi. `hwgen build` writes a test of that kind into `cocotb/`.
