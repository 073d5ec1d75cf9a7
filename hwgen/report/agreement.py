"""What a run is judged by: per tensor, RTL against golden bit for bit, and codes against the float model."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How close codes are to the float model."""

    sqnr_db: float | None = None  # signal to quantisation noise ratio, decibels
    cosine: float | None = None  # of the angle between both
    same: float | None = None  # share of equal values, for indices


@dataclass(frozen=True, kw_only=True)
class TensorReport:
    """One named tensor of one task, all images together."""

    task: str
    name: str
    values: int  # compared
    mismatches: int  # RTL against golden
    agreement: Agreement  # with the float model

    def as_dict(self) -> dict[str, Any]:
        """For a JSON report."""
        figures = {key: value for key, value in vars(self.agreement).items() if value is not None}
        return {
            "task": self.task,
            "name": self.name,
            "values": self.values,
            "mismatches": self.mismatches,
            "float": figures,
        }


def agreement(codes: Array, scale: float | None, reference: Array | None) -> Agreement:
    """Compare integer codes with float values; indices (no scale) by equality, and nothing without a reference."""
    if reference is None or codes.shape != reference.shape:
        return Agreement()
    if scale is None:
        return Agreement(same=float(np.mean(codes == reference)))
    real = codes.astype(np.float64).ravel() * scale
    wanted = reference.astype(np.float64).ravel()
    signal, noise = float(wanted @ wanted), float(np.square(real - wanted).sum())
    lengths = float(np.sqrt((real @ real) * signal))
    return Agreement(
        sqnr_db=None if signal == 0.0 else float("inf") if noise == 0.0 else 10 * float(np.log10(signal / noise)),
        cosine=float(real @ wanted) / lengths if lengths else None,
    )


def _figure(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def tensor_table(reports: Iterable[TensorReport], title: str) -> Table:
    """A table for the terminal; SQNR, cosine and share of equal indices compare the codes with the float model."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("task", no_wrap=True)
    table.add_column("tensor", no_wrap=True)
    for name in ("values", "RTL != golden", "SQNR dB", "cosine", "same"):
        table.add_column(name, justify="right")
    total = wrong = 0
    for line in reports:
        total, wrong = total + line.values, wrong + line.mismatches
        table.add_row(
            line.task,
            line.name,
            f"{line.values:,}",
            f"{line.mismatches:,}",
            _figure(line.agreement.sqnr_db, ".1f"),
            _figure(line.agreement.cosine, ".5f"),
            _figure(line.agreement.same, ".1%"),
            style="red" if line.mismatches else None,
        )
    table.add_section()
    table.add_row("", "all", f"{total:,}", f"{wrong:,}", "", "", "", style="red" if wrong else "green")
    return table
