"""A file that sets the ranges of single tensors: YAML, tensor name -> rule, scale or clipping range.

    blocks.3.hidden: {rule: percentile, percentile: 99.9}
    blocks.4.query: {scale: 0.031}
    blocks.5.context: {clip: 4.0}

Scale and clipping range are of the equalised network: ``clip`` is the real value of code 127.
"""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from hwgen.frontend.ranges import DEFAULT_PERCENTILE, RangeRule, int8_tensors
from hwgen.spec.graph_model import Model
from hwgen.spec.numerics import NUMERICS
from hwgen.spec.shown import shown
from hwgen.store.strict_yaml import ConfigError, read_mapping, validated

_NEAR = 3  # names that a message offers instead of an unknown one


class _Override(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: str | None = None
    percentile: float | None = None
    scale: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    clip: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    @field_validator("percentile", "scale", "clip", mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("give a number, not yes or no")
        return value

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [name for name in ("rule", "scale", "clip") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of rule, scale and clip, not {' and '.join(given) or 'none of them'}")
        if self.percentile is not None and self.rule != "percentile":
            raise ValueError("percentile belongs to rule: percentile")
        self.chosen()
        return self

    def chosen(self) -> RangeRule | float:
        """A rule, or the fixed scale."""
        if self.rule is not None:
            given = DEFAULT_PERCENTILE if self.percentile is None else self.percentile
            return RangeRule(rule=self.rule, percentile=given)
        return self.scale if self.scale is not None else cast("float", self.clip) / NUMERICS.activation_max


def _unknown(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=_NEAR)
    hint = f"did you mean {' or '.join(near)}?" if near else "names are such as blocks.0.hidden and norm"
    return f"no int8 tensor has the name {shown(name)}; {hint}"


def read_overrides(path: Path, config: Model) -> dict[str, RangeRule | float]:
    """Tensor name -> rule or fixed scale; ConfigError lists every name and value that is wrong."""
    known = int8_tensors(config)
    chosen: dict[str, RangeRule | float] = {}
    wrong: list[str] = []
    for name, value in read_mapping(path).items():
        if name not in known:
            wrong.append(f"{path}: {_unknown(name, known)}")
        elif not isinstance(value, Mapping):
            wrong.append(f"{path}: {name}: expected a mapping such as {{rule: min-max}}, found {shown(value)}")
        else:
            try:
                given = {str(key): item for key, item in cast("Mapping[object, Any]", value).items()}
                chosen[name] = validated(_Override, given, f"{path}: {name}").chosen()
            except ConfigError as error:
                wrong.append(str(error))
    if wrong:
        raise ConfigError("\n".join(wrong))
    return chosen
