# %% [markdown]
# # 1. One unit
#
# The accelerator consists of small units, and each of them has a twin in plain integers: the *golden* model. This
# notebook takes one of them, GELU, feeds both with the same numbers, and compares what comes out, bit for bit.
#
# No simulator is compiled here. The unit is written in Amaranth, and Amaranth brings a simulator of its own.

# %%
from bisect import bisect
from math import erf
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from amaranth.sim import Simulator
from vcd.reader import TokenKind, tokenize

from golden.gelu import gelu
from hwgen.rtl.lib.interpolation import table_info
from hwgen.rtl.post.gelu import GeluLanes
from hwgen.spec.tables import default_tables, pack_table

# %% [markdown]
# ## What the unit should do
#
# GELU is ReLU minus a small bump. The bump is even, and nearly zero beyond 5.5. So the unit keeps a table of the bump
# for `|z| < 5.5`, 32 entries per unit of `z`, and interpolates.
#
# Numbers are integers. The input `z` has 11 bits behind the binary point, the output has 16.

# %%
table = default_tables()["gelu"]
codes = np.arange(-14000, 14000, 4)
z = codes / 2**11
wanted = gelu(table, codes)
bump = np.maximum(z, 0) - wanted / 2**16

# %% [markdown]
# How far is that from the real GELU, `z` times the normal distribution up to `z`?

# %%
exact = np.array([x * (1 + erf(x / 2**0.5)) / 2 for x in z])

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.4), layout="constrained")
left.plot(z, wanted / 2**16, label="golden")
left.plot(z, np.maximum(z, 0), "--", label="ReLU")
left.plot(z, bump, label="ReLU - golden, from the table")
left.legend()
left.set_xlabel("z")
right.plot(z, wanted / 2**16 - exact)
right.set_xlabel("z")
right.set_title("golden - exact")
assert np.abs(wanted / 2**16 - exact).max() < 1e-3

# %% [markdown]
# ## The same numbers through the hardware
#
# The unit takes `LANES` values in every clock cycle and gives their results `latency` cycles later. First its table is
# written over the table bus, one entry a cycle, as the machine does before the first image. Then the values go in.

# %%
LANES = 4
unit = GeluLanes(LANES)
rows = codes.reshape(-1, LANES)
got = []


async def fill_the_table(ctx):
    ctx.set(unit.table.enable, 1)
    ctx.set(unit.table.table, table_info("gelu").index)
    for address, word in enumerate(pack_table(table).tolist()):
        ctx.set(unit.table.address, address)
        ctx.set(unit.table.data, word)
        await ctx.tick()
    ctx.set(unit.table.enable, 0)


async def bench(ctx):
    await fill_the_table(ctx)
    ctx.set(unit.enable, 1)
    for cycle in range(len(rows) + unit.latency):
        if cycle < len(rows):
            for lane in range(LANES):
                ctx.set(unit.z[lane], int(rows[cycle, lane]))
        if cycle >= unit.latency:
            got.append([ctx.get(unit.y[lane]) for lane in range(LANES)])
        await ctx.tick()


simulator = Simulator(unit)
simulator.add_clock(1e-6)
simulator.add_testbench(bench)
simulator.run()

# %% [markdown]
# Every value is equal. Not nearly: equal.

# %%
differ = np.count_nonzero(np.array(got).ravel() != wanted)
assert differ == 0
f"{wanted.size:,} values compared, {differ} differ"

# %% [markdown]
# ## Looking inside
#
# What happens in these five cycles? We run a few values again and write a waveform, which holds every signal of the
# unit. Programs such as GTKWave or Surfer open the file; here we draw the signals of lane 0 ourselves.

# %%
few = np.array([-4096, -2048, -300, 300, 2048, 4096])  # -2, -1, -0.15, 0.15, 1, 2
WAVES = Path("gelu.vcd")


async def short_bench(ctx):
    await fill_the_table(ctx)
    ctx.set(unit.enable, 1)
    for code in few.tolist() + [0] * unit.latency:
        ctx.set(unit.z[0], code)
        await ctx.tick()


simulator = Simulator(unit := GeluLanes(LANES))
simulator.add_clock(1e-6)
simulator.add_testbench(short_bench)
with simulator.write_vcd(str(WAVES)):
    simulator.run()


# %% [markdown]
# A waveform file is a list of changes: at this time, that signal became so much. `cycles_of` makes a list of values out
# of it, one a cycle. Time is in femtoseconds there, and a cycle of ours lasts a microsecond.

# %%
CYCLE = 10**9  # femtoseconds
UNSIGNED = ("index_0", "fraction_0")  # the file does not say which signals have a sign


def cycles_of(path, names):
    """Signal -> its value in every clock cycle, just before the edge that ends the cycle."""
    signals, changes, now = {}, {name: ([], []) for name in names}, 0
    for token in tokenize(path.open("rb")):
        if token.kind is TokenKind.VAR and token.var.reference in names:
            signals[token.var.id_code] = token.var
        elif token.kind is TokenKind.CHANGE_TIME:
            now = token.time_change
        elif token.kind is TokenKind.CHANGE_VECTOR and token.vector_change.id_code in signals:
            signal, value = signals[token.vector_change.id_code], int(token.vector_change.value)
            times, values = changes[signal.reference]
            negative = signal.reference not in UNSIGNED and value >> (signal.size - 1)
            times.append(now)
            values.append(value - (negative << signal.size))
    edges = range(CYCLE // 2, now, CYCLE)
    return {name: [values[bisect(times, edge - 1) - 1] for edge in edges] for name, (times, values) in changes.items()}


# %% [markdown]
# These are the signals of lane 0, and how many cycles after `z` each of them belongs to the same value.

# %%
STAGES = {"z[0]": 0, "index_0": 1, "fraction_0": 1, "relu_0": 1, "rest_0": 3, "product_0": 4, "y_0": 5}
waves = cycles_of(WAVES, STAGES)
shown = range(len(waves["y_0"]) - len(few) - unit.latency - 1, len(waves["y_0"]))

# %% [markdown]
# One colour is one value on its way: it enters as `z`, becomes a table index and a fraction, then the ReLU part minus
# the table's base, a product of slope and fraction, and after five cycles the result. A new value enters in every
# cycle, before the last one has left.

# %%
figure, axis = plt.subplots(figsize=(12, 3.8), layout="constrained")
for row, (name, stage) in enumerate(STAGES.items()):
    for cycle in shown:
        number = cycle - stage - shown.start - 1  # which of the few values this is
        mine = 0 <= number < len(few)
        axis.barh(row, 0.94, left=cycle, height=0.62, color=plt.cm.tab10(number) if mine else "0.92", alpha=0.75)
        axis.text(cycle + 0.47, row, waves[name][cycle], ha="center", va="center", fontsize=8)
axis.set_yticks(range(len(STAGES)), STAGES)
axis.set_xlabel("clock cycle")
axis.set_title(f"{len(few)} values on their way through GELU")
axis.invert_yaxis()

# %% [markdown]
# And the results are those of golden once more.

# %%
results = waves["y_0"][shown.start + 1 + unit.latency :][: len(few)]
assert results == gelu(table, few).tolist()
results

# %% [markdown]
# Every unit is tested in this way (`tests/rtl`). How a whole image runs through all of them is the next notebook.
