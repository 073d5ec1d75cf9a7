"""How calibration sets the scales, from the options of ``import`` and ``quantize``."""

from pathlib import Path

from hwgen.frontend.overrides import read_overrides
from hwgen.frontend.ranges import DEFAULT_PERCENTILE, RangeRule, Ranges
from hwgen.frontend.rule_choice import HELD_OUT
from hwgen.request import InputError
from hwgen.spec.graph_model import Model


def rule_of(rule: str, percentile: float | None) -> RangeRule:
    """The rule that was asked for, the default one for held-out.

    InputError when there is none such, or a percentile that it would ignore.
    """
    if percentile is not None and rule != "percentile":
        raise InputError(
            f"--percentile {percentile:g} means nothing to --calibration-rule {rule}; it is for percentile"
        )
    if rule == HELD_OUT:
        return RangeRule()
    try:
        return RangeRule(rule=rule, percentile=DEFAULT_PERCENTILE if percentile is None else percentile)
    except ValueError as error:
        raise InputError(f"--calibration-rule or --percentile: {error}") from error


def ranges_of(rule: RangeRule, correction: bool, overrides: Path | None, config: Model) -> Ranges:
    """Everything that sets scales; ConfigError names what is wrong in the file of overrides."""
    chosen = read_overrides(overrides, config) if overrides is not None else {}
    return Ranges(rule=rule, overrides=chosen, bias_correction=correction)
