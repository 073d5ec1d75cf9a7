"""Constructors of layer lists: blocks of a vision transformer, and the whole of one with tasks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hwgen.spec.layers import (
    Attention,
    Codes,
    Experts,
    Gate,
    Gelu,
    Layer,
    Linear,
    Norm,
    Patches,
    Pool,
    Position,
    Residual,
    Result,
    Rows,
)
from hwgen.spec.layers.linear import Finish, Part
from hwgen.spec.weight_formats import DENSE8, PACKED4, WeightFormat

if TYPE_CHECKING:
    from hwgen.spec.model import ModelConfig


@dataclass(frozen=True)
class Maker:
    """Makes the layers of one network from its shape."""

    config: "ModelConfig"

    def layers(self) -> Iterator[Layer]:
        """All of them, in the order of the machine."""
        config = self.config
        yield Position(
            name="position",
            writes="position",
            rows=config.tokens,
            columns=config.dim,
            class_token=config.first_patch > 0,
        )
        patches = Patches(
            name="patches",
            writes="patches",
            height=config.image_height,
            width=config.image_width,
            channels=config.channels,
            patch=config.patch,
        )
        yield patches
        embed = Residual(into=Rows(tensor="position", first=config.first_patch), rows=config.tokens)
        widths, name = (config.patch_values, config.dim), "patch_embed"
        yield self._linear(name, "patches", widths, embed, "patch_embed", name, rows=config.patches)
        residual = "patch_embed"
        for block in range(config.depth):
            layers = list(self._block(f"blocks.{block}", residual, moe=config.is_moe(block)))
            yield from layers
            residual = layers[-1].writes
        yield self._norm("norm", residual)
        yield from self._heads()

    def _format(self, name: str) -> WeightFormat:
        return PACKED4 if name in self.config.int4 else DENSE8

    def _norm(self, name: str, source: str) -> Norm:
        config = self.config
        return Norm(name=name, writes=name, source=Rows(tensor=source), rows=config.tokens, columns=config.dim)

    def _linear(
        self,
        name: str,
        source: "str | Rows",
        widths: tuple[int, int],
        finish: Finish,
        part: Part,
        role: str,
        *,
        writes: str | None = None,
        rows: int | None = None,
        task: str | None = None,
        bias: Literal["used", "unread", "none"] = "used",
    ) -> Linear:
        """A linear layer; ``writes``: its tensor, when it is not called as the layer is."""
        return Linear(
            name=name,
            writes=writes or name,
            task=task,
            source=Rows(tensor=source) if isinstance(source, str) else source,
            rows=self.config.tokens if rows is None else rows,
            inputs=widths[0],
            outputs=widths[1],
            finish=finish,
            part=part,
            role=role,
            bias=bias,
            format=self._format(name),
        )

    def _added(self, residual: str) -> Residual:
        return Residual(into=Rows(tensor=residual), rows=self.config.tokens)

    def _block(self, at: str, residual: str, *, moe: bool) -> Iterator[Layer]:
        """Attention, then a multi-layer perceptron or experts; each adds to the residual stream."""
        yield self._norm(f"{at}.norm1", residual)
        yield from self._attention(at, residual)
        yield self._norm(f"{at}.norm2", f"{at}.attention")
        yield from self._experts(at) if moe else self._mlp(at)

    def _attention(self, at: str, residual: str) -> Iterator[Layer]:
        config = self.config
        square = (config.dim, config.dim)
        for name in ("query", "key", "value"):
            codes = Codes(heads=config.heads)
            bias = "unread" if name == "key" else "used"  # a key's bias moves all scores of a query alike
            yield self._linear(f"{at}.{name}", f"{at}.norm1", square, codes, "attention", name, bias=bias)
        yield Attention(
            name=at,
            writes=f"{at}.context",
            query=Rows(tensor=f"{at}.query"),
            key=Rows(tensor=f"{at}.key"),
            value=Rows(tensor=f"{at}.value"),
            scores=f"{at}.scores",
            queries=config.tokens,
            keys=config.tokens,
            heads=config.heads,
            columns=config.dim,
        )
        added = self._added(residual)
        yield self._linear(f"{at}.proj", f"{at}.context", square, added, "attention", "proj", writes=f"{at}.attention")

    def _mlp(self, at: str) -> Iterator[Layer]:
        dim, hidden = self.config.dim, self.config.mlp_hidden
        yield self._linear(f"{at}.fc1", f"{at}.norm2", (dim, hidden), Gelu(), "mlp", "fc1", writes=f"{at}.hidden")
        added = self._added(f"{at}.attention")
        yield self._linear(f"{at}.fc2", f"{at}.hidden", (hidden, dim), added, "mlp", "fc2", writes=f"{at}.mlp")

    def _experts(self, at: str) -> Iterator[Layer]:
        config, name = self.config, f"{at}.experts"
        gate = Gate(block=at, top_k=config.top_k, renormalise=config.gate_renormalise)
        for task in config.tasks:
            widths, own = (config.dim, config.experts), f"{at}.gate.{task.name}"
            yield self._linear(
                own, f"{at}.norm2", widths, gate, "gates", "gate", writes=f"{at}.gate", task=task.name, bias="none"
            )
        yield Experts(
            name=name,
            writes=f"{at}.moe",
            source=Rows(tensor=f"{at}.norm2"),
            gate=Rows(tensor=f"{at}.gate"),
            into=Rows(tensor=f"{at}.attention"),
            rows=config.tokens,
            columns=config.dim,
            hidden=config.expert_hidden,
            experts=config.experts,
            top_k=config.top_k,
            observed=(f"{at}.expert_hidden", f"{at}.expert_outputs"),
            codes=f"{at}.hidden",
            first=self._format(f"{name}.fc1"),
            second=self._format(f"{name}.fc2"),
        )

    def _heads(self) -> Iterator[Layer]:
        """One a task: of the class token, of the mean of the patches, or of every patch."""
        config = self.config
        patches = Rows(tensor="norm", first=config.first_patch, count=config.patches)
        for task in config.tasks:
            source = patches
            if task.kind == "classification":
                source = Rows(tensor="norm", first=0, count=1)
                if config.pool == "mean":
                    yield self._pool(patches, task.name)
                    source = Rows(tensor="pool", count=1)
            name, widths = f"heads.{task.name}", (config.dim, task.outputs)
            yield self._linear(name, source, widths, Result(), "heads", name, rows=source.count, task=task.name)

    def _pool(self, source: Rows, task: str) -> Pool:
        return Pool(
            name="pool",
            writes="pool",
            task=task,
            source=source,
            rows=self.config.patches,
            columns=self.config.dim,
            values="pool.values",
            scores="pool.scores",
        )
