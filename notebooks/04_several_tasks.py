# %% [markdown]
# # 4. Several tasks
#
# `m3vit-micro` answers two questions about a picture: what stands where (`seg`), and how far away is it (`depth`). Both
# answers come out of one network. What differs is the *routing*: two of its four blocks hold eight small experts
# instead of one large MLP, and each task has its own gate that sends every patch to two of them.
#
# Here we look at who is sent where. All of it comes out of the Verilog.

# %%
import matplotlib.pyplot as plt
import numpy as np

import hwgen
from golden.reference.scenes import CLASS_NAMES, HELD_OUT_FIRST_SEED, draw_scene

# %%
run = hwgen.verify(board="sim", model="m3vit-micro", task="all", images=1, seed=7, say=print)
assert run.good
run.picture()

# %% [markdown]
# ## The route of a patch
#
# The tensor `experts` holds the two experts of every token, `expert_scores` how much each of them counts. With two
# tasks in a run, a tensor is named by task and name. Token 0 is the class token; the others are the 8 x 8 patches of
# the picture, row by row.

# %%
chosen = run["seg", "blocks.1.experts"]
print(chosen)
chosen.rtl[0, :4]

# %%
EXPERTS = run.design.model.experts
COLOURS = plt.cm.Set1.colors[:EXPERTS]
BLOCKS = ("blocks.1", "blocks.3")
TASKS = [task.name for task in run.tasks]


def first_expert(run, task, block, image=0):
    """Which expert counts most for every patch, [rows, columns] of patches."""
    experts = run[task, f"{block}.experts"].rtl[image, 1:]
    scores = run[task, f"{block}.expert_scores"].rtl[image, 1:]
    best = np.take_along_axis(experts, scores.argmax(axis=1)[:, None], axis=1)
    return best.reshape(run.design.model.patch_rows, run.design.model.patch_columns)


# %% [markdown]
# Each patch of the picture in the colour of its first expert. Nobody told the gates about objects; yet floor, wall and
# objects go different ways.

# %%
picture = run.images[0]
height, width = picture.shape[:2]
figure, axes = plt.subplots(len(TASKS), 1 + len(BLOCKS), figsize=(10, 6.6), layout="constrained")
for row, task in zip(axes, TASKS, strict=True):
    row[0].imshow(picture)
    row[0].set_title(f"task {task}")
    for axis, block in zip(row[1:], BLOCKS, strict=True):
        experts = first_expert(run, task, block)
        axis.imshow(picture)
        colours = np.array(COLOURS)[experts]
        axis.imshow(colours, alpha=0.6, extent=(0, width, height, 0), interpolation="nearest")
        for (y, x), expert in np.ndenumerate(experts):
            axis.text((x + 0.5) * width / 8, (y + 0.5) * height / 8, expert, ha="center", va="center", fontsize=8)
        axis.set_title(f"{block}: first expert")
for axis in axes.flat:
    axis.set_axis_off()

# %% [markdown]
# ## Queues
#
# The hardware does not work patch by patch. It collects the tokens of each expert in a queue, brings the expert's
# weights once, and serves the whole queue. An expert with an empty queue costs almost nothing.

# %%
figure, axes = plt.subplots(1, len(BLOCKS), figsize=(11, 3), layout="constrained", sharey=True)
for axis, block in zip(axes, BLOCKS, strict=True):
    for offset, task in enumerate(TASKS):
        lengths = run[task, f"{block}.queue_lengths"].rtl[0]
        assert lengths.sum() == chosen.shape[1] * chosen.shape[2]  # every token is in two queues
        axis.bar(np.arange(EXPERTS) + 0.4 * offset, lengths, 0.38, label=task)
    axis.set_title(f"{block}: tokens in the queue of each expert")
    axis.set_xlabel("expert")
axes[0].legend()
axes[0].set_axisbelow(True)

# %% [markdown]
# The times of a task depend on its queues, and so on the picture.

# %%
for task in TASKS:
    print(f"{task:6} {run.of_task(task)[0].run.cycles:,} cycles")

# %% [markdown]
# ## What do experts learn?
#
# One picture is an anecdote. The golden model makes the same bits as the hardware, much faster; so we ask it about
# twenty scenes that the training has not seen. For each patch we know the class that covers most of it, and count which
# class goes to which expert.

# %%
package = hwgen.load("m3vit-micro")
model = package.config
SCENES = 20
counts = {(task, block): np.zeros((len(CLASS_NAMES), EXPERTS)) for task in TASKS for block in BLOCKS}
for seed in range(HELD_OUT_FIRST_SEED, HELD_OUT_FIRST_SEED + SCENES):
    scene = draw_scene(seed, height=model.image_height, width=model.image_width)
    patches = scene.segmentation.reshape(model.patch_rows, model.patch, model.patch_columns, model.patch)
    patches = patches.transpose(0, 2, 1, 3).reshape(model.patches, -1)
    classes = [np.bincount(patch, minlength=len(CLASS_NAMES)).argmax() for patch in patches]
    for task in TASKS:
        tensors = hwgen.golden(package, scene.image, task)
        for block in BLOCKS:
            for experts, label in zip(tensors[f"{block}.experts"][1:], classes, strict=True):
                counts[task, block][label, experts] += 1

# %% [markdown]
# A row is a class, and shows which share of its patches goes to which expert.

# %%
figure, axes = plt.subplots(len(TASKS), len(BLOCKS), figsize=(10, 5.6), layout="constrained")
for row, task in zip(axes, TASKS, strict=True):
    for axis, block in zip(row, BLOCKS, strict=True):
        found = counts[task, block]
        shown = axis.imshow(found / found.sum(axis=1, keepdims=True), cmap="viridis", vmin=0, vmax=0.5, aspect="auto")
        axis.set_yticks(range(len(CLASS_NAMES)), CLASS_NAMES)
        axis.set_xlabel("expert")
        axis.set_title(f"{task}, {block}")
figure.colorbar(shown, ax=axes, label="share of the choices")
assert all(found.sum() == SCENES * model.patches * model.top_k for found in counts.values())

# %% [markdown]
# The gates of `seg` sort by what stands there: balls go to some experts, boxes to others. Those of `depth` care less,
# and in the picture above they sort by rows, that is by how far away the floor is. One network, two ways through it.
