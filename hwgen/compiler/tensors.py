"""The named tensors of a network as the instructions produce them."""

from dataclasses import dataclass

from hwgen.compiler.listing import Produced
from hwgen.compiler.shapes import Shapes
from hwgen.spec.isa import Destination
from hwgen.spec.model import TaskConfig


@dataclass(frozen=True)
class Tensors:
    """Makes the :class:`Produced` records of one network on one machine."""

    shapes: Shapes

    def residual(self, tensor: str, destination: Destination = Destination.RESIDUAL, first: int = 0) -> Produced:
        """The residual stream after an instruction that wrote rows ``first`` and up."""
        config = self.shapes.config
        return Produced(
            tensor=tensor,
            channel="post",
            destination=destination,
            shape=(config.tokens, config.dim),
            rows=config.tokens - first,
            row_offset=first,
            group_values=config.dim,
            group_words=self.shapes.dim_words,
        )

    def norm(self, tensor: str, first: int, rows: int) -> Produced:
        """Rows of a LayerNorm."""
        config = self.shapes.config
        return Produced(
            tensor=tensor,
            channel="norm",
            destination=None,
            shape=(config.tokens, config.dim),
            rows=rows,
            row_offset=first,
            group_values=config.dim,
            group_words=self.shapes.dim_words,
        )

    def heads(self, tensor: str, destination: Destination) -> Produced:
        """Query, key or value: heads padded to whole words."""
        config = self.shapes.config
        return Produced(
            tensor=tensor,
            channel="post",
            destination=destination,
            shape=(config.tokens, config.dim),
            rows=config.tokens,
            groups=config.heads,
            group_values=config.head_dim,
            group_words=self.shapes.head_words,
        )

    def scores(self, tensor: str, head: int) -> Produced:
        """Scores of one head."""
        config = self.shapes.config
        return Produced(
            tensor=tensor,
            channel="post",
            destination=Destination.SCORE,
            shape=(config.heads, config.tokens, config.tokens),
            rows=config.tokens,
            index=(head,),
            group_values=config.tokens,
            group_words=self.shapes.key_tiles,
        )

    def context(self, tensor: str, head: int) -> Produced:
        """Attention output of one head."""
        config = self.shapes.config
        return Produced(
            tensor=tensor,
            channel="post",
            destination=Destination.CONTEXT,
            shape=(config.tokens, config.dim),
            rows=config.tokens,
            column_offset=head * config.head_dim,
            group_values=config.head_dim,
            group_words=self.shapes.head_words,
        )

    def hidden(self, tensor: str) -> Produced:
        """Hidden units of a dense MLP."""
        config = self.shapes.config
        return Produced(
            tensor=tensor,
            channel="post",
            destination=Destination.HIDDEN,
            shape=(config.tokens, config.mlp_hidden),
            rows=config.tokens,
            group_values=config.mlp_hidden,
            group_words=self.shapes.arch.words(config.mlp_hidden),
        )

    def gate(self, at: str) -> tuple[Produced, ...]:
        """Logits of the gate, and the choice that follows."""
        config = self.shapes.config
        logits = Produced(
            tensor=f"{at}.gate",
            channel="post",
            destination=Destination.GATE,
            shape=(config.tokens, config.experts),
            rows=config.tokens,
            group_values=config.experts,
            group_words=self.shapes.arch.words(config.experts),
        )
        choice = {"experts": (config.tokens, config.top_k), "expert_scores": (config.tokens, config.top_k)}
        shapes: dict[str, tuple[int, ...]] = {**choice, "queue_lengths": (config.experts,)}
        chosen = (
            Produced(tensor=f"{at}.{name}", channel="gate", destination=None, shape=shape, rows=config.tokens)
            for name, shape in shapes.items()
        )
        return (logits, *chosen)

    def result(self, task: TaskConfig) -> Produced:
        """Output of a head."""
        rows = self.shapes.head_rows(task)[1]
        return Produced(
            tensor=f"heads.{task.name}",
            channel="post",
            destination=Destination.RESULT,
            shape=(rows, task.outputs),
            rows=rows,
            group_values=task.outputs,
            group_words=self.shapes.arch.words(task.outputs),
        )
