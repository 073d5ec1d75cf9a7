"""The whole network on integers, independent of any machine: every named tensor of one image and task."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from golden.attention import context, scores
from golden.gate import gate
from golden.gelu import hidden
from golden.layernorm import layernorm
from golden.linear import add_residual, add_scored, linear
from golden.patches import patch_rows
from golden.queues import expert_queues, queue_lengths
from golden.rounding import Integers, sat8, sat16
from hwgen.spec.package import QuantisedModel
from hwgen.spec.tables import Int64Array


@dataclass
class _Run:
    """One image on its way through the network; each step reads ``residual``, and names what it computes."""

    package: QuantisedModel
    task: str
    residual: Int64Array
    tensors: dict[str, Int64Array] = field(default_factory=dict[str, Int64Array])

    def get(self, name: str) -> Int64Array:
        """Package array ``name`` as int64."""
        return self.package.arrays[name].astype(np.int64)

    def table(self, name: str) -> Int64Array:
        """Function table ``name`` [words, 2]."""
        return self.get(f"tables.{name}")

    def keep(self, name: str, tensor: Int64Array) -> Int64Array:
        """Name a tensor and pass it on."""
        self.tensors[name] = tensor
        return tensor

    def linear(self, name: str, rows: Integers, expert: int | None = None) -> Int64Array:
        """Requantised linear layer ``name``, or expert ``expert`` of a stack of them; not saturated."""
        parts = [self.package.arrays[f"{name}.{part}"] for part in ("weight", "bias", "mult", "shift")]
        weight, bias, mult, shift = parts if expert is None else [part[expert] for part in parts]
        return linear(rows, weight, bias, mult, shift)

    def norm(self, name: str) -> Int64Array:
        """LayerNorm ``name`` of the residual."""
        parts = (self.get(f"{name}.{part}") for part in ("gain", "offset", "shift"))
        return self.keep(name, layernorm(self.table("rsqrt"), self.residual, *parts))


def _patch_embed(run: _Run, image: NDArray[np.uint8]) -> None:
    rows = patch_rows(image, run.package.config.patch)
    run.residual[1:] = add_residual(run.residual[1:], run.linear("patch_embed", rows))
    run.keep("patch_embed", run.residual.copy())


def _attention(run: _Run, at: str) -> None:
    config = run.package.config
    x = run.norm(f"{at}.norm1")
    query, key, value = (run.keep(f"{at}.{n}", sat8(run.linear(f"{at}.{n}", x))) for n in ("query", "key", "value"))
    bias, mult, shift = (run.get(f"{at}.scores.{part}") for part in ("bias", "mult", "shift"))
    row_scale = run.get(f"{at}.context.mult"), run.get(f"{at}.context.shift")
    all_scores = np.empty((config.heads, config.tokens, config.tokens), dtype=np.int64)
    out = np.empty_like(query)
    for head in range(config.heads):
        at_head = slice(head * config.head_dim, (head + 1) * config.head_dim)
        t = scores(query[:, at_head], key[:, at_head], bias[head], mult[head], shift[head])
        out[:, at_head] = context(run.table("exp2"), run.table("reciprocal"), t, value[:, at_head], *row_scale)
        all_scores[head] = t
    run.keep(f"{at}.scores", all_scores)
    run.keep(f"{at}.context", out)
    run.residual = run.keep(f"{at}.attention", add_residual(run.residual, run.linear(f"{at}.proj", out)))


def _hidden(run: _Run, name: str, x: Int64Array, expert: int | None = None) -> Int64Array:
    """First layer of an MLP and its GELU."""
    scale = run.get(f"{name}.gelu_mult"), run.get(f"{name}.gelu_shift")
    return hidden(run.table("gelu"), sat16(run.linear(name, x, expert)), *scale)


def _mlp(run: _Run, at: str) -> None:
    rows = run.keep(f"{at}.hidden", _hidden(run, f"{at}.fc1", run.norm(f"{at}.norm2")))
    run.residual = run.keep(f"{at}.mlp", add_residual(run.residual, run.linear(f"{at}.fc2", rows)))


def _moe(run: _Run, at: str) -> None:
    config = run.package.config
    x = run.norm(f"{at}.norm2")
    logits = run.keep(f"{at}.gate", sat16(run.linear(f"{at}.gate.{run.task}", x)))
    tables = run.table("gate_exp2"), run.table("reciprocal")
    chosen, score = gate(*tables, logits, config.top_k, renormalise=config.gate_renormalise)
    queues = expert_queues(run.keep(f"{at}.experts", chosen), run.keep(f"{at}.expert_scores", score), config.experts)
    run.keep(f"{at}.queue_lengths", queue_lengths(queues))
    residual = run.residual.copy()
    for expert, queue in enumerate(queues):
        rows = _hidden(run, f"{at}.experts.fc1", x[queue.tokens], expert)
        update = run.linear(f"{at}.experts.fc2", rows, expert)
        residual[queue.tokens] = add_scored(residual[queue.tokens], update, queue.scores)
    run.residual = run.keep(f"{at}.moe", residual)


def run_network(package: QuantisedModel, image: NDArray[np.uint8], task: str) -> dict[str, Int64Array]:
    """Every named tensor of one image [H, W, channels], logical shapes, in the order in which they are computed."""
    config = package.config
    kind = config.task(task).kind
    expected = (config.image_height, config.image_width, config.channels)
    if image.shape != expected or image.dtype != np.uint8:
        raise ValueError(f"{config.name} takes a uint8 image {list(expected)}, got {image.dtype}{list(image.shape)}")
    run = _Run(package=package, task=task, residual=package.arrays["position"].astype(np.int64))
    _patch_embed(run, image)
    for block in range(config.depth):
        at = f"blocks.{block}"
        _attention(run, at)
        (_moe if config.is_moe(block) else _mlp)(run, at)
    final = run.norm("norm")
    rows = final[:1] if kind == "classification" else final[1:]
    run.keep(f"heads.{task}", sat16(run.linear(f"heads.{task}", rows)))
    return run.tensors
