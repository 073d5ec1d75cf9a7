"""What network: the shape of a multi-task vision transformer with mixture-of-experts blocks."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal, cast, get_args

from hwgen.spec.activations import Activation, check_activation
from hwgen.spec.constructors import CLASS_TOKENS, Block, ClassToken, Embed, Heads, MoeBlock, Pooling, built
from hwgen.spec.graph import Network
from hwgen.spec.layers import EPSILON, Count, CountOrNone, Epsilon, Layer
from hwgen.spec.layers.linear import Part
from hwgen.spec.limits import Limits, refuse
from hwgen.spec.shown import shown

TaskKind = Literal["segmentation", "depth", "classification", "features"]


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """One task: a gate in every MoE block and a linear head.

    A dense task (segmentation, depth) predicts ``classes`` values for each of ``cell x cell`` sub-cells of every patch;
    output channel ``(y * cell + x) * classes + c`` of a patch token is class ``c`` of sub-cell ``(y, x)``.
    A classification task predicts ``classes`` values from the class tokens, or from the mean of the patches. A features
    task gives ``classes`` values for every token, class tokens and registers first: with the identity as weights, the
    tokens behind the last LayerNorm.
    """

    name: str
    kind: TaskKind
    classes: Count  # values predicted per sub-cell (1 for depth)
    cell: Count = 1  # sub-cells per patch side

    def __post_init__(self) -> None:
        """Refuse tasks that nothing could predict; the message says what was given."""
        name = cast("object", self.name)
        if not isinstance(name, str) or not re.fullmatch(r"\w+", name):
            raise ValueError(f"task {shown(name)}: a name has letters, digits and underscores")
        if self.kind not in get_args(TaskKind):
            raise ValueError(f"task {name}: unknown kind {shown(self.kind)}; there are {', '.join(get_args(TaskKind))}")
        refuse(self, f"task {name}")

    @property
    def outputs(self) -> int:
        """Head outputs per token."""
        return self.classes * self.cell * self.cell


class Described(ABC):
    """What follows from name, tasks and layers, however a network is described."""

    name: str
    tasks: tuple[TaskConfig, ...]
    int4: tuple[str, ...]

    @abstractmethod
    def wide_layers(self) -> Iterable[Layer]:
        """Its layers in the order of the machine, all weights with eight bits."""

    @cached_property
    def network(self) -> Network:
        """Its layers, with the formats of their weights."""
        layers = (layer.with_formats(self.int4) for layer in self.wide_layers())
        return Network(tuple(layers), tuple(task.name for task in self.tasks))

    def task(self, name: str) -> TaskConfig:
        """The task called ``name``; ValueError names those that exist."""
        for task in self.tasks:
            if task.name == name:
                return task
        raise ValueError(f"{self.name} has no task {name!r}; it has {[task.name for task in self.tasks]}")

    def result_rows(self, task: TaskConfig) -> int:
        """Rows that a task predicts: one, all tokens, or all patches."""
        return {"classification": 1, "features": self.network.rows}.get(task.kind, self.patches)

    @property
    def patch_rows(self) -> int:
        """Patches per image column."""
        return self.network.image.height // self.network.image.patch

    @property
    def patch_columns(self) -> int:
        """Patches per image row."""
        return self.network.image.width // self.network.image.patch

    @property
    def patches(self) -> int:
        """Patches of one image."""
        return self.network.image.rows

    @property
    def linear_layers(self) -> dict[str, Part]:
        """Every linear layer by the name of its arrays in a package, in the order of the network -> its kind.

        The experts of a block are one layer of a stack of weights.
        """
        return {name: item.part for name, item in self.network.linears.items()}


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Described):
    """Shape of an M3ViT / ViT: pre-norm, class tokens (if any) and registers first, LayerNorm before heads."""

    name: str
    image_height: Count  # pixels
    image_width: Count  # pixels
    patch: Count  # patch side, pixels
    dim: Count  # channels of the residual stream
    depth: Annotated[int, Limits(1, 1024)]  # transformer blocks
    heads: Count  # attention heads; head_dim = dim / heads
    mlp_hidden: Count  # hidden units of a dense MLP
    moe_blocks: tuple[int, ...] = ()  # indices of blocks whose MLP is a mixture of experts
    experts: CountOrNone = 0  # experts per MoE block
    top_k: CountOrNone = 0  # experts chosen per token
    expert_hidden: CountOrNone = 0  # hidden units of one expert
    gate_renormalise: bool = False  # scores of the chosen experts rescaled to sum to one (M3ViT: no)
    tasks: tuple[TaskConfig, ...] = ()
    channels: Count = 3  # colour channels of the image
    int4: tuple[str, ...] = ()  # linear layers whose weights have four bits; the others have eight
    class_token: ClassToken = "learned"  # none: there is none; distilled: two, of which heads read both
    registers: CountOrNone = 0  # tokens between class tokens and patches that no head reads
    pool: Pooling = (
        "token"  # what a classification head reads: class tokens, or the patches' mean, then or before normalised
    )
    activation: Activation = "gelu"  # between the two layers of an MLP or an expert
    epsilon: Epsilon = EPSILON  # of every LayerNorm of the float model; the machine needs none
    keep: tuple[tuple[int, float], ...] = ()  # block -> share of its patch tokens that go on behind its attention
    fuse: bool = False  # what does not go on becomes one token more, by its importance

    def __post_init__(self) -> None:
        """Refuse shapes that no machine could run; the message says what was given."""
        name = cast("object", self.name)
        if not isinstance(name, str):  # packages hold anything
            raise TypeError(f"name = {shown(self.name)}: must be text")
        refuse(self, self.name)
        if self.image_height % self.patch or self.image_width % self.patch:
            raise ValueError(
                f"{self.name}: image {self.image_height}x{self.image_width} is not a multiple of patch {self.patch}"
            )
        if self.dim % self.heads:
            raise ValueError(f"{self.name}: dim {self.dim} is not a multiple of heads {self.heads}")
        self._check_moe_blocks()
        self._check_tokens()
        self._check_keep()
        check_activation(self.name, self.activation)
        if len({task.name for task in self.tasks}) != len(self.tasks):
            raise ValueError(f"{self.name}: task names must differ, got {[task.name for task in self.tasks]}")
        unknown = [name for name in self.int4 if name not in self.linear_layers]
        if unknown or len(set(self.int4)) != len(self.int4):
            raise ValueError(f"{self.name}: int4 must name different linear layers, got {unknown or list(self.int4)}")

    def _check_moe_blocks(self) -> None:
        """Refuse mixtures of experts that cannot be."""
        blocks = list(self.moe_blocks)
        if any(type(block) is not int for block in blocks) or len(set(blocks)) != len(blocks):
            raise ValueError(f"{self.name}: moe_blocks = {shown(blocks)}: must be different whole numbers")
        if any(not 0 <= block < self.depth for block in blocks):
            raise ValueError(f"{self.name}: moe_blocks {shown(tuple(blocks))} must lie in 0..{self.depth - 1}")
        if blocks and not 1 <= self.top_k <= self.experts:
            raise ValueError(f"{self.name}: top_k {self.top_k} must be in 1..experts ({self.experts})")
        if blocks and not self.expert_hidden:
            raise ValueError(f"{self.name}: expert_hidden is zero, and there are moe_blocks")

    def _check_tokens(self) -> None:
        """Refuse kinds of tokens that do not exist, and heads of a class token that is not there."""
        for field, kinds in (("class_token", get_args(ClassToken)), ("pool", get_args(Pooling))):
            value = getattr(self, field)
            if value not in kinds:
                raise ValueError(f"{self.name}: {field} = {shown(value)}: there are {', '.join(kinds)}")
        heads = [task.name for task in self.tasks if task.kind == "classification"]
        if self.class_token == "none" and self.pool == "token" and heads:
            raise ValueError(
                f"{self.name}: task {heads[0]} reads the class token, and class_token is none; give pool: mean"
            )

    def _check_keep(self) -> None:
        """Refuse shares of blocks that do not exist, and shares that are none."""
        blocks = [block for block, _ in self.keep]
        if any(type(block) is not int or not 0 <= block < self.depth for block in blocks):
            raise ValueError(f"{self.name}: keep {shown(dict(self.keep))}: blocks must lie in 0..{self.depth - 1}")
        if blocks != sorted(set(blocks)):
            raise ValueError(f"{self.name}: keep names blocks {blocks}; give each once, in ascending order")
        for block, share in self.keep:
            number = type(share) in (int, float)
            if not number or not 0 < share <= 1:
                raise ValueError(f"{self.name}: keep of block {block} = {shown(share)}: must be above 0 and at most 1")
        if self.fuse and not blocks:
            raise ValueError(f"{self.name}: fuse is given, and no block lets tokens go; give keep, such as {{3: 0.7}}")

    def wide_layers(self) -> Iterable[Layer]:
        """Embedding, blocks, heads."""
        embed = Embed(
            height=self.image_height,
            width=self.image_width,
            patch=self.patch,
            dim=self.dim,
            channels=self.channels,
            class_token=self.class_token,
            registers=self.registers,
        )
        blocks = [self._block(block) for block in range(self.depth)]
        return built(self.tasks, (embed, *blocks, Heads(pool=self.pool, epsilon=self.epsilon)))

    def _block(self, block: int) -> Block | MoeBlock:
        keep = float(dict(self.keep).get(block, 0.0))
        fuse = self.fuse and keep > 0.0
        if not self.is_moe(block):
            return Block(
                heads=self.heads,
                hidden=self.mlp_hidden,
                activation=self.activation,
                epsilon=self.epsilon,
                keep=keep,
                fuse=fuse,
            )
        return MoeBlock(
            heads=self.heads,
            hidden=self.expert_hidden,
            experts=self.experts,
            top_k=self.top_k,
            renormalise=self.gate_renormalise,
            activation=self.activation,
            epsilon=self.epsilon,
            keep=keep,
            fuse=fuse,
        )

    @property
    def first_patch(self) -> int:
        """Row of the first patch token: behind class tokens and registers."""
        return CLASS_TOKENS[self.class_token] + self.registers

    @property
    def tokens(self) -> int:
        """Class tokens, registers and patches."""
        return self.patches + self.first_patch

    @property
    def patch_values(self) -> int:
        """Pixel values of one patch, in the order (channel, y, x)."""
        return self.channels * self.patch * self.patch

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.dim // self.heads

    def is_moe(self, block: int) -> bool:
        """Whether block ``block`` has a mixture of experts instead of a dense MLP."""
        return block in self.moe_blocks
