"""The integer arithmetic of docs/numerics.md once more, in torch int64: written from that document, not from golden.

Rounding is a floor division by a power of two, sums are int64 matrix products, sorting is torch's stable sort. Every
name and letter is the document's.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwgen.spec.model import ModelConfig

Arrays = Mapping[str, NDArray[Any]]


def int64(x: Any) -> Tensor:
    """A tensor of 64-bit integers."""
    return torch.from_numpy(np.asarray(x).astype(np.int64))


def power(n: Tensor | int) -> Tensor:
    """2^n."""
    return torch.bitwise_left_shift(torch.ones_like(torch.as_tensor(n)), torch.as_tensor(n))


def floor_div(x: Tensor, divisor: Tensor) -> Tensor:
    """The floor of a quotient: what an arithmetic shift to the right does."""
    return torch.div(x, divisor, rounding_mode="floor")


def half_up(x: Tensor, s: Tensor | int) -> Tensor:
    """(x + 2^(s-1)) >> s, and x for s = 0."""
    s = torch.as_tensor(s)
    half = torch.where(s > 0, power(torch.clamp(s - 1, min=0)), torch.zeros_like(s))
    return floor_div(x + half, power(s))


def sat(x: Tensor, low: int, high: int) -> Tensor:
    """Clip."""
    return torch.clamp(x, low, high)


def sat8(x: Tensor) -> Tensor:
    """-127..127."""
    return sat(x, -127, 127)


def sat10(x: Tensor) -> Tensor:
    """-512..511."""
    return sat(x, -512, 511)


def sat16(x: Tensor) -> Tensor:
    """-32768..32767."""
    return sat(x, -32768, 32767)


def floor_log2(x: Tensor) -> Tensor:
    """The largest n with 2^n <= x, for positive x: counted."""
    return sum((x >= 2**n).to(torch.int64) for n in range(1, 62))  # type: ignore[return-value]


def requant(acc: Tensor, bias: Tensor, mult: Tensor, shift: Tensor) -> Tensor:
    """half_up((acc + bias) * M, S)."""
    return half_up((acc + bias) * mult, shift)


def linear(rows: Tensor, weight: Tensor, bias: Tensor, mult: Tensor, shift: Tensor) -> Tensor:
    """Requantised sums of products, not saturated."""
    return requant(torch.matmul(rows, weight.T), bias, mult, shift)


def interpolate(table: Tensor, k: Tensor, f: Tensor, n: int) -> Tensor:
    """base[k] + half_up(slope[k] * f, n)."""
    return table[:, 0][k] + half_up(table[:, 1][k] * f, n)


def gelu(table: Tensor, z: Tensor) -> Tensor:
    """(max(z, 0) << 5) - delta, with a delta of zero from k = 176 on."""
    a = torch.abs(z)
    k, f = floor_div(a, torch.tensor(64)), torch.remainder(a, 64)
    delta = interpolate(table, torch.clamp(k, max=175), f, 6)
    return torch.clamp(z, min=0) * 32 - torch.where(k < 176, delta, torch.zeros_like(delta))


def hidden(table: Tensor, z: Tensor, mult: Tensor, shift: Tensor, zero: Tensor) -> Tensor:
    """sat8(half_up(gelu(z) * M2, S2) + zero)."""
    return sat8(half_up(gelu(table, z) * mult, shift) + zero)


def scaled(x: Tensor, exponent: Tensor) -> Tensor:
    """floor(x * 2^exponent), either sign."""
    return floor_div(x * power(torch.clamp(exponent, min=0)), power(torch.clamp(-exponent, min=0)))


def normalised(table: Tensor, x: Tensor) -> Tensor:
    """z of LayerNorm, Q6.10."""
    channels = x.shape[-1]
    s1, s2 = x.sum(-1, keepdim=True), (x * x).sum(-1, keepdim=True)
    v = channels * s2 - s1 * s1
    one = torch.clamp(v, min=1)
    e = floor_div(floor_log2(one), torch.tensor(2))
    w = scaled(one, 16 - 2 * e)
    r = interpolate(table, floor_div(w, torch.tensor(1024)) - 64, torch.remainder(w, 1024), 10)
    r, e = (torch.where(v == 0, torch.zeros_like(part), part) for part in (r, e))
    return half_up((channels * x - s1) * r, e + 5)


def layernorm(table: Tensor, x: Tensor, gain: Tensor, offset: Tensor, shift: Tensor) -> Tensor:
    """h = sat8(half_up(z * gain + offset, shift))."""
    return sat8(half_up(normalised(table, x) * gain + offset, shift))


def scores(query: Tensor, key: Tensor, bias: Tensor, mult: Tensor, shift: Tensor) -> Tensor:
    """t [queries, keys] of one head."""
    return sat10(requant(torch.matmul(query, key.T), bias, mult, shift))


def statistics(exp2: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """(m, sum) of every row."""
    octave, e = floor_div(t, torch.tensor(32)), exp2[:, 0][torch.remainder(t, 32)]
    return octave.max(-1).values, (e * power(octave + 16)).sum(-1)


def probabilities(exp2: Tensor, t: Tensor) -> Tensor:
    """u: half_up(E, 6 + s) for s <= 8, else 0."""
    octave, e = floor_div(t, torch.tensor(32)), exp2[:, 0][torch.remainder(t, 32)]
    s = octave.max(-1, keepdim=True).values - octave
    return torch.where(s <= 8, half_up(e, 6 + torch.clamp(s, max=8)), torch.zeros_like(s))


def reciprocal(table: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """(R, L): L = floor(log2 x), w = (x << 17) >> L."""
    exponent = floor_log2(x)
    w = scaled(x, 17 - exponent)
    index = torch.remainder(floor_div(w, torch.tensor(1024)), 128)
    return interpolate(table, index, torch.remainder(w, 1024), 10), exponent


def row_factor(exp2: Tensor, table: Tensor, t: Tensor, mult: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """(M_row, S_row)."""
    m, total = statistics(exp2, t)
    r, exponent = reciprocal(table, total)
    return torch.clamp(half_up(r * mult, 15), max=65535), shift + exponent - m - 22


def context(exp2: Tensor, table: Tensor, t: Tensor, value: Tensor, mult: Tensor, shift: Tensor) -> Tensor:
    """sat8(half_up(SUM(u * v) * M_row, S_row))."""
    row_mult, row_shift = row_factor(exp2, table, t, mult, shift)
    return sat8(half_up(torch.matmul(probabilities(exp2, t), value) * row_mult[:, None], row_shift[:, None]))


def gate(exp2: Tensor, table: Tensor, g: Tensor, count: int, *, renormalise: bool) -> tuple[Tensor, Tensor]:
    """(experts ascending, scores UQ1.15)."""
    chosen = torch.sort(g, dim=-1, descending=True, stable=True).indices[:, :count].sort(-1).values
    d = g.max(-1, keepdim=True).values - g
    octaves = floor_div(d, torch.tensor(256))
    x = floor_div(exp2[:, 0][torch.remainder(d, 256)], power(torch.clamp(octaves, max=40)))
    x = torch.where(octaves > 15, torch.zeros_like(x), x)
    taken = x.gather(-1, chosen)
    total = (taken if renormalise else x).sum(-1, keepdim=True)
    r, exponent = reciprocal(table, total)
    return chosen, half_up(taken * r, exponent)


def add_residual(residual: Tensor, update: Tensor) -> Tensor:
    """sat16(r + sat16(requant))."""
    return sat16(residual + sat16(update))


def add_scored(residual: Tensor, update: Tensor, score: Tensor) -> Tensor:
    """sat16(r + half_up(sat16(requant) * score, 15)); one score per row."""
    return sat16(residual + half_up(sat16(update) * score[:, None], 15))


class Network:
    """A whole network, token queues and all; ``run`` returns every named tensor."""

    def __init__(self, arrays: Arrays, config: ModelConfig) -> None:
        self.arrays = {name: int64(array) for name, array in arrays.items()}
        self.config = config

    def part(self, at: str, *names: str) -> list[Tensor]:
        """Some arrays of one layer."""
        return [self.arrays[f"{at}.{name}"] for name in names]

    def linear(self, at: str, rows: Tensor, expert: int | None = None) -> Tensor:
        """A linear layer, or that of one expert."""
        parts = self.part(at, "weight", "bias", "mult", "shift")
        return linear(rows, *(part if expert is None else part[expert] for part in parts))

    def norm(self, at: str, residual: Tensor) -> Tensor:
        """A LayerNorm."""
        return layernorm(self.arrays["tables.rsqrt"], residual, *self.part(at, "gain", "offset", "shift"))

    def run(self, image: NDArray[np.uint8], task: str) -> dict[str, Tensor]:
        """Every named tensor of one image."""
        config, out = self.config, dict[str, Tensor]()
        grid = sat(int64(image) - 128, -127, 127).permute(2, 0, 1)
        patches = torch.nn.functional.unfold(grid[None].double(), config.patch, stride=config.patch)[0].T.long()
        residual = self.arrays["position"].clone()
        residual[1:] = add_residual(residual[1:], self.linear("patch_embed", patches))
        out["patch_embed"] = residual
        for block in range(config.depth):
            residual = self.attention(f"blocks.{block}", residual, out)
            half = self.mixture if config.is_moe(block) else self.mlp
            residual = half(f"blocks.{block}", residual, out, task)
        out["norm"] = self.norm("norm", residual)
        rows = out["norm"][:1] if config.task(task).kind == "classification" else out["norm"][1:]
        out[f"heads.{task}"] = sat16(self.linear(f"heads.{task}", rows))
        return out

    def attention(self, at: str, residual: Tensor, out: dict[str, Tensor]) -> Tensor:
        """Attention of all heads and its residual."""
        x = out[f"{at}.norm1"] = self.norm(f"{at}.norm1", residual)
        names = ("query", "key", "value")
        parts = [sat8(self.linear(f"{at}.{name}", x)) for name in names]
        out |= {f"{at}.{name}": part for name, part in zip(names, parts, strict=True)}
        heads = [part.reshape(-1, self.config.heads, self.config.head_dim).transpose(0, 1) for part in parts]
        scale, tables = self.part(f"{at}.context", "mult", "shift"), self.part("tables", "exp2", "reciprocal")
        t = [
            scores(heads[0][n], heads[1][n], *(p[n] for p in self.part(f"{at}.scores", "bias", "mult", "shift")))
            for n in range(self.config.heads)
        ]
        mixed = [context(*tables, t[n], heads[2][n], *scale) for n in range(self.config.heads)]
        out[f"{at}.scores"], out[f"{at}.context"] = torch.stack(t), torch.cat(mixed, dim=1)
        out[f"{at}.attention"] = add_residual(residual, self.linear(f"{at}.proj", out[f"{at}.context"]))
        return out[f"{at}.attention"]

    def hidden(self, at: str, x: Tensor, expert: int | None = None) -> Tensor:
        """First layer of an MLP and GELU."""
        z = sat16(self.linear(at, x, expert))
        return hidden(self.arrays["tables.gelu"], z, *self.part(at, "gelu_mult", "gelu_shift", "zero"))

    def mlp(self, at: str, residual: Tensor, out: dict[str, Tensor], task: str) -> Tensor:
        """A dense MLP and its residual."""
        out[f"{at}.norm2"] = self.norm(f"{at}.norm2", residual)
        rows = out[f"{at}.hidden"] = self.hidden(f"{at}.fc1", out[f"{at}.norm2"])
        out[f"{at}.mlp"] = add_residual(residual, self.linear(f"{at}.fc2", rows))
        return out[f"{at}.mlp"]

    def mixture(self, at: str, residual: Tensor, out: dict[str, Tensor], task: str) -> Tensor:
        """Gate, then every expert in ascending order on its tokens."""
        config = self.config
        x = out[f"{at}.norm2"] = self.norm(f"{at}.norm2", residual)
        g = out[f"{at}.gate"] = sat16(self.linear(f"{at}.gate.{task}", x))
        tables = self.part("tables", "gate_exp2", "reciprocal")
        chosen, score = gate(*tables, g, config.top_k, renormalise=config.gate_renormalise)
        out[f"{at}.experts"], out[f"{at}.expert_scores"] = chosen, score
        out[f"{at}.queue_lengths"] = torch.bincount(chosen.flatten(), minlength=config.experts)
        residual = residual.clone()
        for expert in range(config.experts):
            token, slot = (chosen == expert).nonzero(as_tuple=True)
            update = self.linear(f"{at}.experts.fc2", self.hidden(f"{at}.experts.fc1", x[token], expert), expert)
            residual[token] = add_scored(residual[token], update, score[token, slot])
        out[f"{at}.moe"] = residual
        return residual
