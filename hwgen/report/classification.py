"""What a classifier answers for an image: its best classes with names and probabilities, of RTL and of the float model.

Probabilities are the softmax of the logits in real units: code times scale for the RTL.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from rich.text import Text

from hwgen.report.labels import Labels
from hwgen.report.picture import Bar, Panel, bars

TOP = 5  # classes that are shown
IN_FULL = 8  # images up to which all of them are on the terminal; of more only the best class is


@dataclass(frozen=True, kw_only=True)
class Guess:
    """A class of an answer."""

    index: int
    name: str | None  # as the file of labels has it
    rtl: float  # probability, 0..1
    real: float  # the same of the float model
    place: int  # of the RTL's classes, best first, from 1
    real_place: int  # of the float model's

    def __str__(self) -> str:
        """Its name, or its index where there is none."""
        return self.name if self.name is not None else f"class {self.index}"

    def as_dict(self) -> dict[str, Any]:
        """For a JSON report."""
        found = asdict(self)
        return {"class": found.pop("index"), "float": found.pop("real"), "float_place": found.pop("real_place")} | found


@dataclass(frozen=True, kw_only=True)
class Classification:
    """The answer for one image under one task."""

    task: str
    image: int  # of the run, from 0
    picture: str  # name of the image
    top: tuple[Guess, ...]  # best of the RTL first
    real_top: tuple[Guess, ...]  # best of the float model first

    @property
    def same(self) -> bool:
        """RTL and float model agree on the best class."""
        return self.top[0].index == self.real_top[0].index

    def as_dict(self) -> dict[str, Any]:
        """For a JSON report."""
        return {
            "task": self.task,
            "image": self.image,
            "picture": self.picture,
            "same_class": self.same,
            "top": [guess.as_dict() for guess in self.top],
            "float_top": [guess.as_dict() for guess in self.real_top],
        }


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Probabilities of real-valued logits [classes]."""
    powers = np.exp(np.asarray(logits, dtype=np.float64) - np.max(logits))
    return powers / powers.sum()


def ranked(logits: NDArray[Any]) -> NDArray[np.int64]:
    """Indices of logits [.., classes], the best first; ties to the lower class, as `golden.predict.class_index`."""
    return np.argsort(-np.asarray(logits, dtype=np.float64), axis=-1, kind="stable")


def classify(
    rtl: NDArray[Any], real: NDArray[Any], labels: Labels | None, *, task: str, image: int, picture: str
) -> Classification:
    """The answer of logits [classes] in real units, of RTL and float model."""
    orders = ranked(rtl), ranked(real)
    places = [{int(index): place for place, index in enumerate(order, start=1)} for order in orders]
    shares = softmax(rtl), softmax(real)

    def guess(index: int) -> Guess:
        return Guess(
            index=index,
            name=labels.name(index) if labels is not None else None,
            rtl=float(shares[0][index]),
            real=float(shares[1][index]),
            place=places[0][index],
            real_place=places[1][index],
        )

    top, real_top = (tuple(guess(int(index)) for index in order[:TOP]) for order in orders)
    return Classification(task=task, image=image, picture=picture, top=top, real_top=real_top)


def classification_table(answers: Sequence[Classification]) -> Table:
    """The best classes of every image, for the terminal; of many images only the best one."""
    shown = TOP if len(answers) <= IN_FULL else 1
    table = Table(title="Classes", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("task", no_wrap=True)
    table.add_column("picture", overflow="fold")
    table.add_column("", justify="right")
    table.add_column("class")
    for name in ("RTL", "float", "place by float"):
        table.add_column(name, justify="right")
    for number, answer in enumerate(answers):
        if number and shown > 1:
            table.add_section()
        for guess in answer.top[:shown]:
            first = guess.place == 1
            table.add_row(
                answer.task if first else "",
                Text(answer.picture if first else ""),
                str(guess.place),
                Text(str(guess)),
                f"{guess.rtl:.1%}",
                f"{guess.real:.1%}",
                str(guess.real_place),
                style="bold" if first and shown > 1 else None,
            )
    return table


def classification_panel(answer: Classification) -> Panel:
    """The best classes as bars."""
    lines = [Bar(label=str(guess), value=guess.rtl, beside=guess.real) for guess in answer.top]
    return Panel(title=f"{answer.task}: RTL (blue) and float (grey)", pixels=bars(lines), drawn=True)
