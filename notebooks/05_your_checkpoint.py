# %% [markdown]
# # 5. A checkpoint of your own
#
# So far the network came with hwgen. Here we train one ourselves, a small vision transformer that tells pictures of
# rings, discs, crosses and stripes apart. Then we import it, and run it on the accelerator.
#
# PyTorch is wanted for the training. Without it the notebook goes on with random weights: everything works as well, but
# the answers mean nothing.

# %%
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from safetensors.numpy import save_file

import hwgen

try:
    import torch
    from torch import nn
except ImportError:
    torch = None

# %% [markdown]
# ## The pictures
#
# 32 x 32 pixels, a shape in a random colour at a random place on a noisy ground.

# %%
CLASSES = ("ring", "disc", "cross", "stripes")
SIDE = 32


def draw(label, rng):
    """One picture, uint8 [32, 32, 3]."""
    y, x = np.mgrid[:SIDE, :SIDE] - rng.uniform(12, 20, (2, 1, 1))
    size = rng.uniform(7, 11)
    radius, near, far = np.hypot(x, y), np.minimum(abs(x), abs(y)), np.maximum(abs(x), abs(y))
    shape = (
        abs(radius - 0.8 * size) < 0.25 * size,
        radius < size,
        (near < 0.3 * size) & (far < size),
        (np.sin(6 * y / size) > 0) & (far < size),
    )[label]
    ground, colour = rng.uniform(20, 120, 3), rng.uniform(130, 240, 3)
    return np.clip(np.where(shape[..., None], colour, ground) + rng.normal(0, 12, (SIDE, SIDE, 3)), 1, 255).astype("u1")


def draw_many(count, seed):
    """Pictures and labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(CLASSES), count)
    return np.stack([draw(label, rng) for label in labels]), labels


pictures, labels = draw_many(1200, seed=1)
figure, axes = plt.subplots(1, 8, figsize=(12, 1.9), layout="constrained")
for axis, picture, label in zip(axes, pictures, labels, strict=False):
    axis.imshow(picture)
    axis.set_title(CLASSES[label])
    axis.set_axis_off()

# %% [markdown]
# ## The network
#
# A plain vision transformer: 8 x 8 patches, 64 channels, two blocks, two heads. Its parameters have the names that timm
# gives them, so hwgen knows how to read them. A network that was made by timm itself goes the same way.

# %%
DIM, DEPTH, HEADS, PATCH = 64, 2, 2, 8

if torch:

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv, self.proj = nn.Linear(DIM, 3 * DIM), nn.Linear(DIM, DIM)

        def forward(self, x):
            images, tokens, _ = x.shape
            q, k, v = self.qkv(x).reshape(images, tokens, 3, HEADS, DIM // HEADS).permute(2, 0, 3, 1, 4)
            return self.proj(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(DIM, eps=1e-6), nn.LayerNorm(DIM, eps=1e-6)
            self.attn = Attention()
            self.mlp = nn.ModuleDict({"fc1": nn.Linear(DIM, 4 * DIM), "fc2": nn.Linear(4 * DIM, DIM)})

        def forward(self, x):
            x = x + self.attn(self.norm1(x))
            return x + self.mlp["fc2"](nn.functional.gelu(self.mlp["fc1"](self.norm2(x))))

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, DIM, PATCH, PATCH)})
            self.cls_token = nn.Parameter(torch.zeros(1, 1, DIM))
            self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + (SIDE // PATCH) ** 2, DIM))
            self.blocks = nn.Sequential(*(Block() for _ in range(DEPTH)))
            self.norm, self.head = nn.LayerNorm(DIM, eps=1e-6), nn.Linear(DIM, len(CLASSES))

        def forward(self, pixels):
            x = self.patch_embed["proj"](pixels).flatten(2).transpose(1, 2)
            x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
            return self.head(self.norm(self.blocks(x))[:, 0])


# %% [markdown]
# ## The training
#
# Some seconds on a laptop. Pixels are normalised to -1 .. 1, which is what timm's networks usually want.


# %%
def normalised(pictures):
    """float32 [images, 3, height, width] as the network takes them."""
    return (pictures.transpose(0, 3, 1, 2) / 255 - 0.5).astype(np.float32) / 0.5


def trained(steps=200, batch=32):
    """State dict of a trained network, its losses, and logits of the first 8 test pictures."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # the network is too small to share its work
    network, inputs, wanted = Classifier(), torch.tensor(normalised(pictures)), torch.tensor(labels)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
    losses = []
    for _ in range(steps):
        chosen = torch.randint(0, len(inputs), (batch,))
        loss = nn.functional.cross_entropy(network(inputs[chosen]), wanted[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    with torch.no_grad():
        logits = network.eval()(torch.tensor(normalised(tests[:8]))).numpy()
    return {name: value.numpy() for name, value in network.state_dict().items()}, losses, logits


def random_state(seed=0):
    """Random arrays of the same names and shapes, for those who have no PyTorch."""
    rng = np.random.default_rng(seed)
    shapes = {"patch_embed.proj.weight": (DIM, 3, PATCH, PATCH), "patch_embed.proj.bias": (DIM,)}
    shapes |= {"cls_token": (1, 1, DIM), "pos_embed": (1, 1 + (SIDE // PATCH) ** 2, DIM)}
    linear = {"attn.qkv": (3 * DIM, DIM), "attn.proj": (DIM, DIM), "mlp.fc1": (4 * DIM, DIM), "mlp.fc2": (DIM, 4 * DIM)}
    linear = {f"blocks.{block}.{name}": shape for block in range(DEPTH) for name, shape in linear.items()}
    for name, shape in (linear | {"head": (len(CLASSES), DIM)}).items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    state = {name: rng.normal(0, 1 / np.sqrt(np.prod(shape[1:]) or 1), shape) for name, shape in shapes.items()}
    for norm in ("norm", *(f"blocks.{block}.norm{index}" for block in range(DEPTH) for index in (1, 2))):
        state |= {f"{norm}.weight": rng.normal(1, 0.2, DIM), f"{norm}.bias": rng.normal(0, 0.2, DIM)}
    return {name: array.astype(np.float32) for name, array in state.items()}


tests, test_labels = draw_many(200, seed=2)
state, losses, logits = trained() if torch else (random_state(), [], None)
save_file(state, "shapes.safetensors")

figure, axis = plt.subplots(figsize=(8, 2.6), layout="constrained")
axis.plot(losses)
axis.set_xlabel("step")
axis.set_ylabel("loss")
axis.grid(alpha=0.3)

# %% [markdown]
# ## The import
#
# `hwgen import` reads the checkpoint and quantises it: weights to eight bits, activations by what some of our pictures
# show. `--expect` hands over outputs of PyTorch, so that a network that computes something else would be refused. The
# command says what the machine will compute, part by part.

# %%
Path("photos").mkdir(exist_ok=True)
for index, picture in enumerate(pictures[:16]):
    Image.fromarray(picture).save(f"photos/{index:02}.png")

words = ["import", "timm", "shapes.safetensors", "--name", "shapes", "--heads", str(HEADS), "--calib", "photos"]
if logits is not None:
    np.savez("expect.npz", image=tests[:8], output=logits)
    words += ["--expect", "expect.npz"]
done = subprocess.run([sys.executable, "-m", "hwgen", *words, "-o", "nets"], capture_output=True, text=True)
print(done.stdout or done.stderr)
assert done.returncode == 0

# %% [markdown]
# ## Golden
#
# From here on `nets/shapes.safetensors` is a network like any other. The golden model runs all test pictures in
# integers, which are the bits of the hardware.

# %%
package = hwgen.load("nets/shapes.safetensors")
outputs = np.stack([hwgen.golden(package, picture)["heads.class"][0] for picture in tests[:100]])
answers = outputs.argmax(axis=1)
right = np.mean(answers == test_labels[: len(answers)])
assert right > 0.9 or torch is None
print(f"{right:.0%} of {len(answers)} pictures are told right, in integers")

# %% [markdown]
# ## The hardware
#
# The same small machine as in the notebooks before: it is not built for one network, it runs a program. So nothing is
# compiled anew. Six pictures go through the Verilog, and every tensor is compared.

# %%
Path("classes.txt").write_text("\n".join(CLASSES))
run = hwgen.verify(board="sim", model="nets/shapes.safetensors", images=tests[:6], labels="classes.txt", say=print)
assert run.good
run.picture()

# %% [markdown]
# That was the first picture, with the answer of the float network beside that of the hardware. And these are all six.

# %%
result = run["result"]
assert np.array_equal(result.rtl[:, 0], outputs[:6])
figure, axes = plt.subplots(2, 6, figsize=(12, 4), layout="constrained")
for index, (above, below) in enumerate(axes.T):
    values = result.real[index, 0]
    chances = np.exp(values - values.max()) / np.exp(values - values.max()).sum()
    above.imshow(run.images[index])
    above.set_title(CLASSES[test_labels[index]])
    above.set_axis_off()
    below.barh(CLASSES, chances, color=["tab:green" if i == test_labels[index] else "0.7" for i in range(len(CLASSES))])
    below.set_xlim(0, 1)
    below.tick_params(labelleft=index == 0)
figure.supxlabel("probabilities, as the hardware computes them; green is right", fontsize=10)
figure.align_labels()

# %% [markdown]
# `docs/bring-your-own.md` tells the rest: other kinds of checkpoints, what is refused and why, and the way back.
