"""M3ViT in torch: a vision transformer with mixture-of-experts blocks whose gates and head belong to a task.

Parameter names equal the names of `golden.reference.m3vit_float.float_arrays`, so that a state dict is a float model.
Everything is pre-norm with epsilon 1e-6 and the exact (erf) GELU.
"""

# pyright: basic
# (torch is only partly typed)

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from golden.reference.functions import NORM_EPSILON
from golden.reference.layers.patches import PIXEL_SCALE
from hwgen.spec.model import ModelConfig


def _linear(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    """A linear layer with Glorot-uniform weights and zero bias."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    nn.init.xavier_uniform_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


class ExpertLinear(nn.Module):
    """One linear layer per expert: weight [experts, out, in], bias [experts, out]."""

    def __init__(self, experts: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = math.sqrt(6.0 / (inputs + outputs))
        self.weight = nn.Parameter(torch.empty(experts, outputs, inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(experts, outputs))

    def forward(self, queues: list[Tensor]) -> list[Tensor]:
        """The rows of every expert's queue, [n_e, in] each, through that expert's layer: [n_e, out] each."""
        layers = zip(queues, self.weight.unbind(), self.bias.unbind(), strict=True)
        return [functional.linear(rows, weight, bias) for rows, weight, bias in layers]


class Experts(nn.Module):
    """The experts of one block: Linear, GELU, Linear each."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.count = config.experts
        self.fc1 = ExpertLinear(config.experts, config.dim, config.expert_hidden)
        self.fc2 = ExpertLinear(config.experts, config.expert_hidden, config.dim)

    def forward(self, rows: Tensor, scores: Tensor, chosen: Tensor) -> Tensor:
        """Sum over the chosen experts of score times expert output.

        rows [n, dim], scores and chosen [n, top_k]; returns [n, dim].
        """
        top_k = chosen.shape[1]
        order = torch.argsort(chosen.flatten(), stable=True)  # (token, slot) pairs, expert by expert
        lengths = torch.bincount(chosen.flatten(), minlength=self.count).tolist()
        queues = list(rows.index_select(0, order // top_k).split(lengths))
        outputs = torch.cat(self.fc2([functional.gelu(hidden) for hidden in self.fc1(queues)]))
        by_token = outputs.index_select(0, torch.argsort(order)).view(-1, top_k, rows.shape[1])
        return (by_token * scores[:, :, None]).sum(dim=1)


class Block(nn.Module):
    """One transformer block; with a mixture of experts its gate depends on the task."""

    def __init__(self, config: ModelConfig, index: int) -> None:
        super().__init__()
        self.config = config
        self.is_moe = config.is_moe(index)
        self.gate_noise = 0.0  # standard deviation of the noise on gate logits; training only
        self.balance: Tensor | None = None  # load-balancing loss of the last forward pass in training mode
        dim = config.dim
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPSILON)
        self.query, self.key, self.value, self.proj = (_linear(dim, dim) for _ in range(4))
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPSILON)
        if self.is_moe:
            self.gate = nn.ModuleDict({task.name: _linear(dim, config.experts, bias=False) for task in config.tasks})
            self.experts = Experts(config)
        else:
            self.fc1 = _linear(dim, config.mlp_hidden)
            self.fc2 = _linear(config.mlp_hidden, dim)

    def _heads(self, rows: Tensor) -> Tensor:
        return rows.unflatten(-1, (self.config.heads, self.config.head_dim)).transpose(1, 2)

    def _attention(self, rows: Tensor) -> Tensor:
        query, key, value = (self._heads(layer(rows)) for layer in (self.query, self.key, self.value))
        context = functional.scaled_dot_product_attention(query, key, value)
        return self.proj(context.transpose(1, 2).flatten(2))

    def _balance_loss(self, probabilities: Tensor, picks: Tensor) -> Tensor:
        """Experts times the sum of load times mean probability: one when perfectly balanced."""
        load = picks.sum(dim=1).float().mean(dim=0) / self.config.top_k
        return self.config.experts * (load * probabilities.mean(dim=0)).sum()

    def _mixture(self, rows: Tensor, task: str) -> Tensor:
        """Softmax over all experts, then the top K; their scores are not renormalised unless the config says so."""
        flat = rows.flatten(0, 1)
        logits = self.gate[task](flat)
        if self.training and self.gate_noise > 0.0:
            logits = logits + self.gate_noise * torch.randn_like(logits)
        probabilities = logits.softmax(dim=-1)
        chosen = probabilities.detach().topk(self.config.top_k, dim=-1).indices
        picks = functional.one_hot(chosen, self.config.experts)  # [n, top_k, experts]
        scores = (probabilities[:, None, :] * picks).sum(dim=-1)
        if self.training:
            self.balance = self._balance_loss(probabilities, picks)
        if self.config.gate_renormalise:
            scores = scores / scores.sum(dim=-1, keepdim=True)
        return self.experts(flat, scores, chosen).view_as(rows)

    def forward(self, residual: Tensor, task: str) -> Tensor:
        """Residual [batch, tokens, dim] to the same shape."""
        residual = residual + self._attention(self.norm1(residual))
        rows = self.norm2(residual)
        if self.is_moe:
            return residual + self._mixture(rows, task)
        return residual + self.fc2(functional.gelu(self.fc1(rows)))


class PatchEmbed(nn.Module):
    """Linear map of patch values, ordered (channel, y, x)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.patch = config.patch
        layer = _linear(config.patch_values, config.dim)
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixel codes [batch, height, width, channels] 0..255 to [batch, patches, dim]."""
        values = (pixels.float() - 128.0) * PIXEL_SCALE
        batch, height, width, channels = values.shape
        side = self.patch
        grid = values.view(batch, height // side, side, width // side, side, channels)
        rows = grid.permute(0, 1, 3, 5, 2, 4).reshape(batch, -1, channels * side * side)
        return functional.linear(rows, self.weight, self.bias)


class M3ViT(nn.Module):
    """The whole network; `forward` takes the task, which picks the gates and the head."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        self.class_token = nn.Parameter(0.02 * torch.randn(config.dim))
        self.position = nn.Parameter(0.02 * torch.randn(config.tokens, config.dim))
        self.blocks = nn.ModuleList(Block(config, index) for index in range(config.depth))
        self.norm = nn.LayerNorm(config.dim, eps=NORM_EPSILON)
        self.heads = nn.ModuleDict({task.name: _linear(config.dim, task.outputs) for task in config.tasks})

    def forward(self, pixels: Tensor, task: str) -> Tensor:
        """Pixel codes [batch, height, width, channels] to head outputs.

        Returns [batch, patches, outputs] for a dense task and [batch, 1, outputs] for classification.
        """
        patches = self.patch_embed(pixels)
        first = self.class_token.expand(patches.shape[0], 1, -1)
        residual = torch.cat([first, patches], dim=1) + self.position
        for block in self.blocks:
            residual = block(residual, task)
        dense = self.config.task(task).kind != "classification"
        rows = residual[:, 1:] if dense else residual[:, :1]
        return self.heads[task](self.norm(rows))

    def set_gate_noise(self, deviation: float) -> None:
        """Standard deviation of the noise that training adds to gate logits."""
        for block in self._moe_blocks():
            block.gate_noise = deviation

    def set_output_bias(self, task: str, value: float) -> None:
        """Start a head at a constant output, for targets far from zero."""
        head = self.heads[task]
        assert isinstance(head, nn.Linear)
        nn.init.constant_(head.bias, value)

    def balance_loss(self) -> Tensor:
        """Mean load-balancing loss of the MoE blocks in the last training-mode forward pass."""
        losses = [block.balance for block in self._moe_blocks() if block.balance is not None]
        return torch.stack(losses).mean()

    def _moe_blocks(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block) and block.is_moe]
