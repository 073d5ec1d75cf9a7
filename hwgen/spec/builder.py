"""A list of layers on its way: what parts of a vision transformer have in common."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from hwgen.spec.layers import (
    EPSILON,
    Attention,
    Codes,
    Layer,
    Linear,
    Norm,
    Position,
    Residual,
    Restore,
    Rows,
    Select,
)
from hwgen.spec.layers.linear import Finish, Part

if TYPE_CHECKING:
    from hwgen.spec.model import TaskConfig


def kept_rows(rate: float, others: int) -> int:
    """How many of so many tokens a rate keeps: rounded up, with the rate taken as the decimal that it is written as.

    0.55 of 100 are 55: as a binary number 0.55 is a little more. ValueError unless the rate is in (0, 1].
    """
    if not 0 < rate <= 1:
        raise ValueError(f"rate {rate:g}: must be above 0 and at most 1")
    return math.ceil(Decimal(str(rate)) * others)


@dataclass
class Builder:
    """A list of layers on its way: what the parts so far have left for the next one."""

    tasks: "Sequence[TaskConfig]"
    layers: list[Layer] = field(default_factory=list[Layer])
    residual: str = ""  # tensor of the residual stream as it is now
    rows: int = 0  # of it: tokens
    columns: int = 0  # of it: channels
    class_tokens: int = 0  # the first rows
    first_patch: int = 0  # row of the first patch token: behind class tokens and registers
    blocks: int = 0  # so far
    epsilon: float = EPSILON  # of the LayerNorms of the part that is being added
    selections: list[Select] = field(default_factory=list[Select])  # so far

    def add(self, layer: Layer) -> None:
        """One more layer; one that changes the residual stream in place leaves it for the next part."""
        self.layers.append(layer)
        if isinstance(layer, Position) or layer.updates() is not None:
            self.residual = layer.writes
            self.rows, self.columns = layer.tensors()[0].shape

    def norm(self, name: str, task: str | None = None) -> None:
        """LayerNorm of the residual stream."""
        self.add(
            Norm(
                name=name,
                writes=name,
                task=task,
                source=Rows(tensor=self.residual),
                rows=self.rows,
                columns=self.columns,
                epsilon=self.epsilon,
            )
        )

    def linear(
        self,
        name: str,
        source: "str | Rows",
        widths: tuple[int, int],
        finish: Finish,
        part: Part,
        *,
        writes: str | None = None,
        rows: int | None = None,
        task: str | None = None,
        bias: Literal["used", "unread", "none"] = "used",
        beside: int = 1,
    ) -> None:
        """A linear layer; ``writes``: its tensor, when it is not called as the layer is."""
        self.add(
            Linear(
                name=name,
                writes=writes or name,
                task=task,
                source=Rows(tensor=source) if isinstance(source, str) else source,
                rows=self.rows if rows is None else rows,
                inputs=widths[0],
                outputs=widths[1],
                finish=finish,
                part=part,
                bias=bias,
                beside=beside,
            )
        )

    def added(self) -> Residual:
        """To the residual stream, every row."""
        return Residual(into=Rows(tensor=self.residual), rows=self.rows)

    def attention(self, at: str, heads: int) -> None:
        """LayerNorm, query, key and value, attention, and the projection that joins the residual stream."""
        square = (self.columns, self.columns)
        self.norm(f"{at}.norm1")
        for name in ("query", "key", "value"):
            codes = Codes(heads=heads)
            bias = "unread" if name == "key" else "used"  # a key's bias moves all scores of a query alike
            self.linear(f"{at}.{name}", f"{at}.norm1", square, codes, "attention", bias=bias)
        self.add(
            Attention(
                name=at,
                writes=f"{at}.context",
                query=Rows(tensor=f"{at}.query"),
                key=Rows(tensor=f"{at}.key"),
                value=Rows(tensor=f"{at}.value"),
                scores=f"{at}.scores",
                queries=self.rows,
                keys=self.rows,
                heads=heads,
                columns=self.columns,
            )
        )
        writes = f"{at}.attention"
        self.linear(f"{at}.proj", f"{at}.context", square, self.added(), "attention", writes=writes)

    def select(self, at: str, heads: int, rate: float, *, fuse: bool) -> None:
        """Let tokens go by the attention of the block, unless the rate is 0; ValueError says what cannot be kept."""
        if not rate:
            if fuse:
                raise ValueError(f"{at}: fuses tokens and keeps all of them; give the share to keep")
            return
        if not self.class_tokens:
            raise ValueError(f"{at}: keeps {rate:g} of its tokens by what the class token looks at, and there is none")
        name = f"{at}.select"
        layer = Select(
            name=name,
            writes=name,
            source=Rows(tensor=self.residual),
            scores=Rows(tensor=f"{at}.scores", count=1),
            rows=self.rows,
            columns=self.columns,
            heads=heads,
            prefix=self.first_patch,
            keep=kept_rows(rate, self.rows - self.first_patch),
            fuse=fuse,
        )
        self.add(layer)
        self.selections.append(layer)
        self.residual, self.rows = name, layer.left

    def restore(self) -> None:
        """Every token again: selection by selection, the last one first."""
        for item in reversed(self.selections):
            name = item.name.replace("select", "restored")
            self.add(
                Restore(
                    name=name,
                    writes=name,
                    source=Rows(tensor=self.residual),
                    before=item.source,
                    kept=Rows(tensor=item.kept),
                    rows=item.rows,
                    columns=self.columns,
                )
            )
            self.residual, self.rows = name, item.rows

    def next_block(self) -> str:
        """The name of the next block; ValueError before there is anything to work on."""
        if not self.rows:
            raise ValueError(f"blocks.{self.blocks}: nothing is there yet; put embed before it")
        self.blocks += 1
        return f"blocks.{self.blocks - 1}"
