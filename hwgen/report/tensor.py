"""One named tensor of a verification: what the RTL wrote, what golden says, and what the float model says."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.report.agreement import Agreement, TensorReport, agreement

Array = NDArray[Any]
Real = float  # the built-in type: `Tensor` has a member of that name


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One named tensor of one task, all images of the run: arrays [images, ...] of one shape.

    ``np.array_equal(t.rtl, t.golden)`` is true when no value differs: both hold 0 where the program writes nothing (a
    row that no later layer reads is not computed), and ``t.written`` says where. A value that the machine should have
    written and never did is the least int64 in ``rtl``.

    Members
    -------
    task, name: whose tensor it is.
    rtl: int64 codes as the simulated machine wrote them.
    golden: int64 codes of the golden model.
    float: float64 values of the float model, 0 where nothing is written; None for what it does not have (attention
        scores, which are in octaves, and queue lengths).
    written: bool; which values the program writes, and so which are compared.
    scale: the real value of a step from code to code; None for indices.
    zero: the code of the value 0, which hidden units may have elsewhere than at 0.
    mismatches: how many values differ or are missing, all images.
    """

    task: str
    name: str
    rtl: Array
    golden: Array
    float: Array | None
    written: Array
    scale: Real | None
    zero: int
    mismatches: int

    def __repr__(self) -> str:
        """Name, shape and what the comparison says."""
        return f"<Tensor {self.name} of task {self.task}: {list(self.rtl.shape)}, {self.mismatches:,} mismatches>"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of every array, the images first."""
        return self.rtl.shape

    @property
    def values(self) -> int:
        """How many values are compared."""
        return int(np.count_nonzero(self.written))

    @property
    def real(self) -> Array:
        """What the RTL wrote as real values, float64; ValueError for a tensor without a scale."""
        if self.scale is None:
            raise ValueError(f"{self.name}: has no scale; its values are indices or octaves")
        return (self.rtl - self.zero) * self.scale

    @cached_property
    def agreement(self) -> Agreement:
        """How close golden's codes are to the float model, where something is written."""
        if self.float is None:
            return Agreement()
        return agreement(self.golden[self.written] - self.zero, self.scale, self.float[self.written])

    @property
    def sqnr(self) -> Real | None:
        """Signal to quantisation noise ratio against the float model, decibels; None where there is none."""
        return self.agreement.sqnr_db

    @property
    def cosine(self) -> Real | None:
        """Cosine of the angle to the float model's tensor; None where there is none."""
        return self.agreement.cosine

    @property
    def same(self) -> Real | None:
        """Share of indices equal to the float model's; None for what is no index."""
        return self.agreement.same

    def plot(self, *index: int) -> Any:
        """Draw RTL, float model and their difference as a matplotlib Figure; ToolMissing without matplotlib.

        ``index`` picks the image and, of scores [images, heads, rows, keys], the head; 0 where it is not given.
        """
        from hwgen.report.plots import tensor_figure  # here: matplotlib takes long to import, and is optional

        return tensor_figure(self, index)

    @classmethod
    def of_runs(
        cls,
        task: str,
        name: str,
        runs: Sequence[tuple[Array, Array, Array, Array | None]],
        code: tuple[Real | None, int],
        mismatches: int,
    ) -> "Tensor":
        """A tensor from its parts in every run: got, written, golden and, where there is one, float.

        ``code``: scale and zero point.
        """
        got = np.stack([run[0] for run in runs])
        written = np.stack([run[1] for run in runs])
        golden = np.stack([run[2] for run in runs])
        known = [run[3] for run in runs if run[3] is not None and run[3].shape == golden.shape[1:]]
        return cls(
            task=task,
            name=name,
            rtl=got,
            golden=np.where(written, golden, 0),
            float=np.where(written, np.stack(known), 0) if len(known) == len(runs) else None,
            written=written,
            scale=code[0],
            zero=code[1],
            mismatches=mismatches,
        )

    def line(self) -> TensorReport:
        """Its line in the table."""
        return TensorReport(
            task=self.task,
            name=self.name,
            values=self.values,
            mismatches=self.mismatches,
            agreement=self.agreement,
        )
