"""Figures of the report on values worked out by hand, and the table that shows them."""

import numpy as np
import pytest
from rich.console import Console

from hwgen.report.agreement import Agreement, TensorReport, agreement, tensor_table


def test_noise_and_angle_by_hand():
    found = agreement(np.array([3, 4]), 1.0, np.array([3.0, 3.0]))
    assert found.sqnr_db == pytest.approx(10 * np.log10(18 / 1))
    assert found.cosine == pytest.approx(21 / (5 * np.sqrt(18)))


def test_the_scale_counts():
    exact = agreement(np.array([[2, -4]]), 0.5, np.array([[1.0, -2.0]]))
    assert exact.sqnr_db == float("inf")
    assert exact.cosine == pytest.approx(1.0)
    assert agreement(np.array([[2, -4]]), 0.25, np.array([[1.0, -2.0]])).sqnr_db == pytest.approx(10 * np.log10(4))


def test_indices_are_compared_by_equality():
    assert agreement(np.array([1, 2, 3, 4]), None, np.array([1, 2, 0, 4])) == Agreement(same=0.75)


def test_nothing_is_claimed_without_a_reference():
    assert agreement(np.array([1]), 1.0, None) == Agreement()
    assert agreement(np.array([1]), 1.0, np.array([[1.0, 2.0]])) == Agreement()
    zero = agreement(np.array([0, 0]), 1.0, np.array([0.0, 0.0]))
    assert (zero.sqnr_db, zero.cosine) == (None, None)


def test_the_table_counts_values_and_mismatches():
    close = agreement(np.array([1, 2, 3]), 1.0, np.array([1.0, 2.0, 3.5]))
    reports = [
        TensorReport(task="seg", name="norm", values=3, mismatches=0, agreement=close),
        TensorReport(task="seg", name="scores", values=1, mismatches=1, agreement=Agreement()),
    ]
    assert reports[1].as_dict() == {"task": "seg", "name": "scores", "values": 1, "mismatches": 1, "float": {}}
    console = Console(width=100, record=True)
    console.print(tensor_table(reports, "run"))
    last = [line for line in console.export_text().splitlines() if line.strip()][-1]
    assert last.split() == ["all", "4", "1"]
