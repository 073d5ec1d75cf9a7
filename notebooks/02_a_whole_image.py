# %% [markdown]
# # 2. A whole image
#
# A trained vision transformer sees a picture and says what stands where, and how far away it is. Here the picture goes
# through the Verilog of the accelerator, cycle by cycle in a simulator. Then every tensor that the hardware has written
# is compared with the golden model, which computes the same network in plain integers.
#
# The board is `sim`: no real board, but a small machine on a slow memory, made for simulations. Its simulator is
# compiled once, which takes a minute or two; after that it comes out of a cache.

# %%
import matplotlib.pyplot as plt
import numpy as np

import hwgen

# %% [markdown]
# ## The run
#
# One call builds the machine, compiles the network for it, simulates, and compares. `seed` chooses a generated scene;
# `images` would also take the path of a picture, or an array of pixels.

# %%
run = hwgen.verify(board="sim", model="m3vit-micro", images=1, seed=7, say=print)
run

# %% [markdown]
# No mismatches. This is what the network makes of the scene: the input, the answer of the float model that was trained,
# and the answer of the hardware.

# %%
assert run.good
run.picture()

# %% [markdown]
# ## Tensor by tensor
#
# `run` holds every tensor of the network in the order in which it is computed. `rtl` is what the hardware wrote, and
# `golden` what it should write. Both are integers.

# %%
for tensor in run:
    assert np.array_equal(tensor.rtl, tensor.golden), tensor.name
    print(f"{tensor.name:24} {tensor.values:7,} values equal")

# %% [markdown]
# One of them, the output of the first mixture of experts: 65 rows are tokens, the 64 columns are channels. The hardware
# stays close to the float network; what remains is the rounding to integers.

# %%
run["blocks.1.moe"].plot()

# %% [markdown]
# ## What integers cost
#
# How much of the signal does rounding leave? SQNR is the power of the signal over that of the error, in decibels: 20 dB
# are an error of a tenth, 40 dB of a hundredth. Along the network the errors of all layers add up, slowly.

# %%
measured = [tensor for tensor in run if tensor.sqnr is not None]
figure, axis = plt.subplots(figsize=(12, 4.2), layout="constrained")
axis.plot([tensor.sqnr for tensor in measured], "o-")
axis.set_xticks(range(len(measured)), [tensor.name for tensor in measured], rotation=90, fontsize=7)
axis.set_ylabel("SQNR, dB")
axis.set_title("RTL against the float model, layer by layer")
axis.grid(alpha=0.3)

# %% [markdown]
# ## Where a token looks
#
# Attention scores are integers too: 1/32 octave, so a score that is higher by 32 counts twice. From them we draw what
# share of its attention each token of block 2 gives to each patch of the picture.

# %%
scores = run["blocks.2.scores"].rtl[0]  # [heads, queries, keys]
weight = 2.0 ** ((scores - scores.max(axis=-1, keepdims=True)) / 32)
attention = weight / weight.sum(axis=-1, keepdims=True)
side = int(np.sqrt(attention.shape[-1]))  # patches in a row of the picture; token 0 is the class token

figure, axes = plt.subplots(2, 6, figsize=(12, 4.4), layout="constrained")
for head, row in enumerate(axes):
    for axis, patch in zip(row, (9, 14, 28, 35, 42, 54), strict=True):
        axis.imshow(run.images[0])
        height, width = run.images[0].shape[:2]
        share = attention[head, 1 + patch, 1:].reshape(side, side)
        axis.imshow(share, cmap="inferno", alpha=0.6, extent=(0, width, height, 0), interpolation="nearest")
        axis.plot((patch % side + 0.5) * width / side, (patch // side + 0.5) * height / side, "c+", markersize=12)
        axis.set_axis_off()
    row[0].set_title(f"head {head}: where the patch at + looks", loc="left", fontsize=9)

# %% [markdown]
# ## Would we notice?
#
# A comparison that always says "equal" is worth nothing. So we spoil one bit of one weight, for the hardware only, and
# run again.

# %%
spoilt = hwgen.verify(board="sim", model="m3vit-micro", images=1, seed=7, self_test=True)
assert not spoilt.good
print(spoilt.first)
spoilt

# %% [markdown]
# One bit of one weight, in the first block. From there the error spreads through the whole network.

# %%
tensors = [tensor for tensor in spoilt if tensor.values]
figure, axis = plt.subplots(figsize=(12, 4.2), layout="constrained")
axis.bar(range(len(tensors)), [100 * tensor.mismatches / tensor.values for tensor in tensors], color="tab:red")
axis.set_xticks(range(len(tensors)), [tensor.name for tensor in tensors], rotation=90, fontsize=7)
axis.set_ylabel("wrong values, %")
axis.set_title("One flipped bit of one weight")
axis.margins(x=0.01)

# %% [markdown]
# And where did it begin? In one column of the first wrong tensor, the one that the spoilt weight computes.

# %%
spoilt[spoilt.first.tensor].plot()
