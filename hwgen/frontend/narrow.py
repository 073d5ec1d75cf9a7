"""What four-bit weights cost: signal to noise ratios with four and with eight bits, layer by layer and of each head."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hwgen.frontend.sensitivity import TensorDamage
from hwgen.spec.graph_model import Model


@dataclass(frozen=True, kw_only=True)
class NarrowLoss:
    """One line: the weights of a layer after rounding, or the golden model's output of a task."""

    name: str
    narrow_db: float  # signal to noise ratio with the four-bit weights of the package, decibels
    wide_db: float  # with eight bits everywhere

    @property
    def loss_db(self) -> float:
        """Decibels that four bits cost."""
        return self.wide_db - self.narrow_db

    def as_dict(self) -> dict[str, Any]:
        """For a JSON report."""
        return asdict(self) | {"loss_db": self.loss_db}


def narrow_losses(config: Model, narrow: Sequence[TensorDamage], wide: Sequence[TensorDamage]) -> list[NarrowLoss]:
    """Lines for the four-bit layers of ``config``, then for the heads, from the sensitivity tables of two packages.

    Both packages must come from the same float arrays, calibration and images; ``wide`` has eight bits everywhere.
    """
    tables = [{line.name: line for line in lines} for lines in (narrow, wide)]
    losses = [
        NarrowLoss(name=name, narrow_db=tables[0][name].format_db, wide_db=tables[1][name].format_db)
        for name in (f"{layer}.weight" for layer in config.int4)
    ]
    for task in config.tasks:
        name = config.network.result(task.name).writes
        before, after = (table[name].golden_db for table in tables)
        if before is not None and after is not None:
            losses.append(NarrowLoss(name=name, narrow_db=before, wide_db=after))
    return losses


def narrow_text(losses: Sequence[NarrowLoss]) -> str:
    """The lines in columns; empty without any."""
    if not losses:
        return ""
    width = max(len(line.name) for line in losses)
    rows = [f"{'four-bit weights':{width}}  4 bits dB  8 bits dB  loss dB"]
    rows += [f"{line.name:{width}}  {line.narrow_db:9.1f}  {line.wide_db:9.1f}  {line.loss_db:7.1f}" for line in losses]
    return "\n".join(rows) + "\n"
