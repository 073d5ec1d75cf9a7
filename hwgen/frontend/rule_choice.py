"""Which rule of ranges to take: the one whose package follows the float model best on pictures that set no scale.

A rule that fits the calibration pictures well may cut what another picture holds. So a part of the pictures sets the
scales by every rule, golden runs the rest, and the rule with the best mean ratio sets the scales from all pictures
(the default one unless another is clearly better).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.network import run_network
from golden.reference.m3vit_float import Arrays, FloatModel, Tensors
from hwgen.frontend.calibration import IMPORTED_STRENGTH, Calibration, equalise
from hwgen.frontend.quantise import quantise
from hwgen.frontend.ranges import RULES, RangeRule, Ranges
from hwgen.frontend.sensitivity import decibels
from hwgen.spec.graph import Network
from hwgen.spec.graph_model import Model
from hwgen.spec.layers import Experts, Layer, Linear, Position, Residual
from hwgen.spec.package import QuantisedModel

HELD_OUT = "held-out"  # in the place of a rule: choose one
MOST_JUDGES = 2  # pictures that golden runs by every rule, each under one task in turn: the slow part


# The default rule alone has headroom for pictures of another kind than those at hand, and two pictures are few: it
# stays unless another one is this much better.
MARGIN_DB = 1.0


@dataclass(frozen=True, kw_only=True)
class RuleChoice:
    """The rule that was chosen, and how every rule did."""

    rule: RangeRule
    judged: tuple[int, ...]  # numbers of the pictures that were held out, from 0
    mean_db: dict[str, float]  # rule -> mean ratio over held-out pictures, residual tensors and heads

    def as_dict(self) -> dict[str, Any]:
        """For a provenance."""
        mean = {name: round(value, 2) for name, value in self.mean_db.items()}
        return {"chosen_by": "held-out pictures", "judged": list(self.judged), "margin_db": MARGIN_DB, "mean_db": mean}

    def __str__(self) -> str:
        """One line for the terminal."""
        listed = ", ".join(f"{name} {value:.1f} dB" for name, value in self.mean_db.items())
        return f"rule {self.rule.rule}, chosen on {len(self.judged)} held-out pictures: {listed}"


def judges(images: int) -> int:
    """How many of the pictures are held out: none of a single one."""
    return min(MOST_JUDGES, images // 2)


def _first(calibration: Calibration, images: int) -> Calibration:
    """What the first ``images`` pictures hold; the ranges of residual, heads and scores stay those of all."""
    samples = {name: rows[: len(rows) * images // calibration.images] for name, rows in calibration.samples.items()}
    return replace(calibration, images=images, samples=samples)


def _compared(config: Model, task: str) -> list[str]:
    """The residual behind everything that is added to it, the patches left out, and the result."""
    network = config.network
    return [layer.writes for layer in network.walk(task) if _adds(layer, network, task)] + [network.result(task).writes]


def _adds(layer: Layer, network: Network, task: str) -> bool:
    """Whether a layer adds to a residual stream that is more than a position table."""
    if isinstance(layer, Linear) and isinstance(layer.finish, Residual):
        return not isinstance(network.writer(layer.finish.into.tensor, task), Position)
    return isinstance(layer, Experts)


def _mean_db(package: QuantisedModel, runs: Sequence[tuple[NDArray[np.uint8], str]], real: Sequence[Tensors]) -> float:
    """Mean ratio of golden on ``runs``, pictures and tasks, to the float model's tensors ``real``."""
    found: list[float] = []
    for (image, task), wanted in zip(runs, real, strict=True):
        golden = run_network(package, image, task)
        for name in _compared(package.config, task):
            noise = np.square(golden[name] * package.scales[name] - wanted[name]).sum()
            found.append(decibels(float(np.square(wanted[name]).sum()), float(noise)))
    return float(np.mean(found))


def best_rule(mean_db: Mapping[str, float]) -> str:
    """The rule with the best ratio; the default one unless another is better by `MARGIN_DB`."""
    best = max(mean_db, key=mean_db.__getitem__)
    usual = RangeRule().rule
    return best if mean_db[best] >= mean_db[usual] + MARGIN_DB else usual


def choose_rule(
    arrays: Arrays,
    config: Model,
    images: Sequence[NDArray[np.uint8]],
    calibration: Calibration,
    ranges: Ranges,
) -> RuleChoice | None:
    """The best of all rules on the last of ``images``; None when there are too few to hold one out.

    ``arrays`` are the float model as it is, ``calibration`` what it does on ``images``, all of them. Overrides and
    bias correction are those of ``ranges``, whose own rule does not matter.
    """
    count = judges(len(images))
    if count == 0:
        return None
    kept = len(images) - count
    equal, seen = equalise(arrays, config, _first(calibration, kept), IMPORTED_STRENGTH)
    model = FloatModel(equal, config)
    runs = [(image, config.tasks[number % len(config.tasks)].name) for number, image in enumerate(images[kept:])]
    real = [model.run(image, task) for image, task in runs]
    mean_db: dict[str, float] = {}
    for rule in RULES:
        package = quantise(equal, config, seen, ranges=replace(ranges, rule=RangeRule(rule=rule)))
        mean_db[rule] = _mean_db(package, runs, real)
    judged = tuple(range(kept, len(images)))
    return RuleChoice(rule=RangeRule(rule=best_rule(mean_db)), judged=judged, mean_db=mean_db)
