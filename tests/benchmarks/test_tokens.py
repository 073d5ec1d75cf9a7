"""Tokens that leave keep what they save: the estimate of the network whose cycles docs and CHANGELOG name."""

from benchmarks.tokens import TARGET, design
from hwgen.estimator.estimate import estimate

MEASURED = 426_623  # python -m benchmarks.tokens


def test_deit_tiny_at_seven_tenths() -> None:
    found = estimate(design())
    assert found.cycles <= TARGET
    assert abs(found.cycles / MEASURED - 1) < 0.001
