"""How good a classifier is as float model, as integer golden model and as Verilog, on labelled pictures."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.network import run_network
from golden.reference.m3vit_float import FloatModel
from hwgen.accuracy import BATCH_SCENES, Say
from hwgen.class_folders import ClassFolders, LabelledPicture
from hwgen.frontend.pictures import fit_note
from hwgen.frontend.store import load_float, load_model
from hwgen.pipeline import Wanted, verify
from hwgen.report.classification import TOP, ranked
from hwgen.spec.design import Design
from hwgen.steps import Steps

MODELS = "float and golden model"
LINES = 10  # of progress while they run


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """One line of the table: a model on a number of pictures, and how its values compare with golden's."""

    model: str  # float, golden or RTL
    pictures: int
    top1: float  # share of the pictures whose class is the best of the answer, 0..1
    top5: float  # ... is among the best five
    values: int | None = None  # compared with golden, all named tensors; None where nothing is compared
    mismatches: int | None = None


@dataclass(frozen=True, kw_only=True)
class ClassAccuracy:
    """Every line, and what was measured."""

    design: Design
    data: ClassFolders
    note: str  # what was done to the pictures
    rows: tuple[ClassRow, ...]

    @property
    def mismatches(self) -> int:
        """Values in which RTL and golden differ."""
        return sum(row.mismatches or 0 for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """For a JSON report."""
        return {
            "model": self.design.model.name,
            "board": self.design.board.name,
            "arch": self.design.arch.name,
            "data": str(self.data.folder),
            "task": self.data.task.name,
            "classes": self.data.task.classes,
            "fit": self.data.fit,
            "note": self.note,
            "mismatches": self.mismatches,
            "rows": [asdict(row) for row in self.rows],
        }


def place(logits: NDArray[Any], label: int) -> int:
    """Place of a class in an answer [classes], counted from 1."""
    return int(np.flatnonzero(ranked(logits) == label)[0]) + 1


def _row(model: str, places: Sequence[int], values: int | None = None, mismatches: int | None = None) -> ClassRow:
    found = np.array(places)
    return ClassRow(
        model=model,
        pictures=len(places),
        top1=float((found == 1).mean()),
        top5=float((found <= TOP).mean()),
        values=values,
        mismatches=mismatches,
    )


class _Measure:
    """Answers of the three models, and how many pictures had another size."""

    def __init__(self, design: Design, data: ClassFolders) -> None:
        self._design, self._data = design, data
        self._name = design.weights or design.model.name
        self._head = design.model.network.result(data.task.name).writes
        self._changed = dict[Path, bool]()

    def note(self) -> str:
        """What was done to the pictures, in a line."""
        return fit_note(sum(self._changed.values()), len(self._changed), self._design.model, self._data.fit)

    def _read(self, picture: LabelledPicture) -> NDArray[np.uint8]:
        found = picture.read(self._design.model, self._data.fit)
        self._changed[picture.path] = found.changed
        return found.pixels

    def models(self, pictures: Sequence[LabelledPicture], say: Say) -> tuple[ClassRow, ...]:
        """Float and golden model, picture by picture, each some seconds: a data set need not fit the memory."""
        model, task = self._design.model, self._data.task.name
        real = FloatModel(load_float(self._name), model)
        package = load_model(self._name, int4=model.int4)
        places: tuple[list[int], list[int]] = [], []
        step = max(len(pictures) // LINES, 1)
        for number, picture in enumerate(pictures):
            if number and number % step == 0:
                say(f"{MODELS}, {number:,} of {len(pictures):,} pictures ...")
            image = self._read(picture)
            answers = real.run(image, task)[self._head], run_network(package, image, task)[self._head]
            for found, answer in zip(places, answers, strict=True):
                found.append(place(answer[0], picture.label))
        return _row("float", places[0]), _row("golden", places[1])

    def simulated(self, pictures: Sequence[LabelledPicture], folder: Path, say: Say) -> tuple[ClassRow, ...]:
        """All three on the same pictures; every named tensor of the RTL is compared with golden."""
        places: tuple[list[int], ...] = [], [], []
        values = mismatches = 0
        for first in range(0, len(pictures), BATCH_SCENES):
            batch = pictures[first : first + BATCH_SCENES]
            wanted = Wanted(
                images=[self._read(picture) for picture in batch],
                tasks=(self._data.task,),
                image_names=tuple(picture.path.name for picture in batch),
            )
            found = verify(self._design, folder, wanted, say)
            values, mismatches = values + found.values, mismatches + found.mismatches
            for item in found.passes:
                for answers, answer in zip(places, found.outputs(item), strict=True):
                    answers.append(place(answer[0], batch[item.run.image].label))
        if not pictures:
            return ()
        real, golden, rtl = places
        return _row("float", real), _row("golden", golden), _row("RTL", rtl, values, mismatches)


def measure_classes(
    design: Design, folder: Path, data: ClassFolders, images: int | None, rtl_images: int, say: Say
) -> ClassAccuracy:
    """Float and golden model on the first ``images`` pictures (None: on all), then all three on ``rtl_images``.

    No line is there twice. InputError names a picture that cannot be read.
    """
    steps, measure = Steps(folder, (MODELS,), say), _Measure(design, data)
    pictures, simulated = data.pictures[:images], data.pictures[:rtl_images]
    rows: tuple[ClassRow, ...] = ()
    if len(simulated) != len(pictures):
        rows = steps.run(MODELS, lambda: measure.models(pictures, say))
    rows += measure.simulated(simulated, folder, say)
    return ClassAccuracy(design=design, data=data, note=measure.note(), rows=rows)
