# %% [markdown]
# # 3. Where the time goes, and how to change it
#
# The accelerator runs a program. Four units work on it at the same time: `LOAD` brings weights, `COMPUTE` multiplies,
# `NORM` normalises, `IO` moves pixels and results. This notebook measures who works when, asks what limits the
# speed, and then changes it.

# %%
from collections import defaultdict
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import hwgen

# %% [markdown]
# ## A timeline
#
# A verification knows the start and the end of every instruction, in clock cycles since the start of the image.

# %%
run = hwgen.verify(board="sim", model="m3vit-micro", images=1, seed=7, say=print)
instructions = run.instructions()
instructions[40]


# %% [markdown]
# Names are those of the layers: `blocks.1.query`. We colour instructions by the block that they belong to. A bar of
# `LOAD` or `IO` ends where the next one begins.


# %%
def block_of(name):
    """`block 1` of `blocks.1.query`; `ends` of what lies before and behind the blocks."""
    return f"block {name.split('.')[1]}" if name.startswith("blocks.") else "ends"


BLOCKS = ["ends", *sorted({block_of(item["name"]) for item in instructions} - {"ends"})]
COLOURS = dict(zip(BLOCKS, plt.cm.tab10.colors, strict=False))
UNITS = ["LOAD", "COMPUTE", "NORM", "IO"]

figure, axis = plt.subplots(figsize=(12, 3), layout="constrained")
for item in instructions:
    if item["unit"] in UNITS and item["start_cycle"] is not None:
        start, length = item["start_cycle"], item["end_cycle"] - item["start_cycle"]
        axis.barh(UNITS.index(item["unit"]), length, left=start, color=COLOURS[block_of(item["name"])], edgecolor="w")
axis.set_yticks(range(len(UNITS)), UNITS)
axis.set_xlabel("clock cycle")
axis.set_title("One image on the sim machine")
samples = [plt.Rectangle((0, 0), 1, 1, color=COLOURS[block]) for block in BLOCKS]
axis.legend(samples, BLOCKS, ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.25))
axis.invert_yaxis()

# %% [markdown]
# `LOAD` runs ahead: the weights of a layer are fetched while earlier layers compute. It cannot run ahead for ever,
# because the ring that holds the weights is finite. Where experts are large, `COMPUTE` has to wait for weights.
#
# ## Block by block
#
# How long does each kind of work hold the array of multipliers?


# %%
def kind_of(name):
    """The layer within its block, such as `query`; scores of all heads are one kind, and so are all experts."""
    parts = name.split(".")
    return parts[2] if parts[0] == "blocks" else parts[0]


def cycles_by_block(entries):
    """block -> kind -> cycles between the start and the end of its instructions on COMPUTE."""
    found = defaultdict(lambda: defaultdict(int))
    for name, start, end in entries:
        found[block_of(name)][kind_of(name)] += end - start
    return found


measured = cycles_by_block(
    (item["name"], item["start_cycle"], item["end_cycle"]) for item in instructions if item["unit"] == "COMPUTE"
)
kinds = list(dict.fromkeys(kind for block in BLOCKS for kind in measured[block]))
figure, axis = plt.subplots(figsize=(12, 3.4), layout="constrained")
left = np.zeros(len(BLOCKS))
for kind, colour in zip(kinds, plt.cm.tab20.colors, strict=False):
    cycles = np.array([measured[block][kind] for block in BLOCKS])
    axis.barh(BLOCKS, cycles, left=left, label=kind, color=colour)
    left += cycles
axis.set_xlabel("clock cycles on COMPUTE")
axis.legend(ncols=7, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2))
axis.invert_yaxis()

# %% [markdown]
# ## Without a simulation
#
# `estimate` predicts the same from the shapes of the layers, in a second and for any machine. How close does it come?

# %%
estimate = hwgen.estimate(board="sim", model="m3vit-micro")["seg"]
difference = estimate.cycles / run.cycles - 1
assert abs(difference) < 0.02
print(f"simulated {run.cycles:,} cycles, estimated {estimate.cycles:,}: {difference:+.2%}")

# %% [markdown]
# The estimate does not know the image, so it does not know which experts are busy; it takes all of them as equally
# busy.
#
# ## Changing the machine
#
# A machine is a preset and what differs, in a YAML file. We write four: a larger ring for the weights, a second port
# to the memory, twice the multipliers (four rows of tokens at a time instead of two), and all of it.

# %%
OWN = {
    "ring-64K": "base: sim\nring_bytes: 65536\n",
    "ring-64K-2-ports": "base: sim\nring_bytes: 65536\nweight_ports: 2\n",
    "4-rows": "base: sim\ntoken_lanes: 4\n",
    "4-rows-ring-64K-2-ports": "base: sim\ntoken_lanes: 4\nring_bytes: 65536\nweight_ports: 2\n",
}
for name, text in OWN.items():
    Path(f"{name}.yaml").write_text(f"{text}name: {name}\n")

machines = {"sim": "sim"} | {name: f"{name}.yaml" for name in OWN}
cases = [(name, file, weights) for name, file in machines.items() for weights in (None, "experts=4")]
found = {
    (name, weights): hwgen.estimate(board="sim", model="m3vit-micro", arch=file, weights=weights)["seg"]
    for name, file, weights in cases
}

# %% [markdown]
# `weights="experts=4"` gives the weights of the experts four bits instead of eight. They take half of the memory
# traffic, on the same machine: the hardware unpacks them.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 3.6), layout="constrained", sharey=True)
for offset, (weights, label) in enumerate([(None, "8-bit weights"), ("experts=4", "4-bit experts")]):
    rows = np.arange(len(machines)) + 0.38 * offset
    left.barh(rows, [found[name, weights].cycles for name in machines], 0.36, label=label)
    right.barh(rows, [100 * found[name, weights].mac_utilisation for name in machines], 0.36)
left.axvline(run.cycles, color="k", linestyle=":", label="simulated: sim")
left.set_yticks(np.arange(len(machines)) + 0.19, machines)
left.set_xlabel("cycles for one image")
right.set_xlabel("useful work of the multipliers, %")
left.legend(fontsize=8)
left.invert_yaxis()

# %% [markdown]
# More ports do as much for the small machine as narrow weights. Twice the multipliers alone do not give twice the
# speed: they wait for weights. What does a machine cost? The estimate counts that, too.

# %%
print(f"{'machine':26} {'cycles':>8} {'ms':>6} {'LUT':>8} {'FF':>8} {'DSP':>5} {'BRAM':>5}")
for name in machines:
    best = found[name, "experts=4"]
    lut, ff, dsp, bram = (int(best.resources[kind]["estimate"]) for kind in ("lut", "ff", "dsp", "bram36"))
    print(f"{name:26} {best.cycles:8,} {best.milliseconds:6.3f} {lut:8,} {ff:8,} {dsp:5} {bram:5}")

# %% [markdown]
# ## Is it true?
#
# Four-bit experts run on the machine that is simulated already. The Verilog says whether the estimate was right, and
# every value is compared once more.

# %%
narrow = hwgen.verify(board="sim", model="m3vit-micro", weights="experts=4", images=1, seed=7)
assert narrow.good
predicted = found["sim", "experts=4"].cycles
assert abs(predicted / narrow.cycles - 1) < 0.02

figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
axis.bar([0, 1], [run.cycles, narrow.cycles], 0.4, label="simulated")
axis.bar([0.42, 1.42], [estimate.cycles, predicted], 0.4, label="estimated")
axis.set_xticks([0.21, 1.21], ["8-bit weights", "4-bit experts"])
axis.set_ylabel("cycles")
axis.set_title(f"{1 - narrow.cycles / run.cycles:.0%} of the cycles saved")
axis.legend(loc="lower right")
axis.margins(y=0.1)
