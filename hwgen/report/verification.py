"""What a verification found: per tensor, per instruction, in total; as data, and as maps for a picture."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from golden.predict import class_map, depth_map
from golden.reference.scenes import CLASS_NAMES
from hwgen.compiler.compile import Compiled
from hwgen.frontend.black_pixels import black_warnings
from hwgen.frontend.evaluate import to_pixels
from hwgen.frontend.range_excess import excess_warnings
from hwgen.report.agreement import Agreement, TensorReport
from hwgen.report.classification import Classification, classification_panel, classify
from hwgen.report.labels import Labels
from hwgen.report.picture import Panel, colour_classes, colour_depth, compose
from hwgen.report.tensor import Tensor
from hwgen.spec.design import Design
from hwgen.spec.model import TaskConfig
from hwgen.spec.shown import nearest, shown
from hwgen.spec.weight_bits import weight_bits_text
from sim.compare import RESULT, Comparison, Mismatch
from sim.session import SimResult, SimRun

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One image through one task: what the RTL, the golden model and the float model made of it."""

    run: SimRun
    comparison: Comparison
    golden: Tensors
    reference: Tensors  # float


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What a verification found: every image through every task, on the RTL, on golden and on the float model.

    ``run[name]``, or ``run[task, name]`` when the run has several tasks, is a `Tensor` with the arrays of all images;
    iteration gives all of them. ``good``, ``values``, ``mismatches``, ``first``, ``cycles`` say what came of it.
    """

    design: Design
    compiled: Compiled
    scales: Mapping[str, float]
    zeros: Mapping[str, int]  # zero points of the tensors that have one
    images: Sequence[NDArray[np.uint8]]
    tasks: tuple[TaskConfig, ...]
    passes: tuple[Pass, ...]
    simulation: SimResult
    image_names: tuple[str, ...] = ()  # names of the images, where they have any
    labels: Labels | None = None  # of classification tasks

    @property
    def values(self) -> int:
        """Compared values."""
        return sum(item.comparison.values for item in self.passes)

    @property
    def mismatches(self) -> int:
        """Values in which RTL and golden differ."""
        return sum(item.comparison.mismatches for item in self.passes)

    @property
    def good(self) -> bool:
        """Every pass compared something, and found it right."""
        return all(item.comparison.good for item in self.passes)

    @property
    def first(self) -> Mismatch | None:
        """The first wrong value of the first bad pass."""
        return next((item.comparison.first for item in self.passes if item.comparison.first), None)

    @property
    def cycles(self) -> int:
        """From start to interrupt, all passes."""
        return sum(item.run.cycles for item in self.passes)

    @property
    def macs(self) -> int:
        """Multiplications that the network needs, all passes."""
        return sum(self.compiled.programs[item.run.task].macs for item in self.passes)

    def of_task(self, task: str) -> list[Pass]:
        """Passes of one task, image by image."""
        return [item for item in self.passes if item.run.task == task]

    def tensors(self) -> list[TensorReport]:
        """One line per task and tensor, all images together."""
        return [line for task in self.tasks for line in self._tensors(task.name)]

    def _tensors(self, task: str) -> list[TensorReport]:
        counts = self._counts(task)
        known = set(self.names(task))
        return [
            self[task, name].line()
            if name in known
            else TensorReport(task=task, name=name, values=values, mismatches=mismatches, agreement=Agreement())
            for name, (values, mismatches) in counts.items()
        ]

    def _counts(self, task: str) -> dict[str, tuple[int, int]]:
        """Name -> (values compared, mismatches), all images; also of words that have no place in any tensor."""
        counts: dict[str, tuple[int, int]] = {}
        for item in self.of_task(task):
            for name, count in item.comparison.tensors.items():
                values, mismatches = counts.get(name, (0, 0))
                counts[name] = (values + count.values, mismatches + count.mismatches)
        return counts

    def names(self, task: str | None = None) -> tuple[str, ...]:
        """Names of the tensors of a task, or of the first, in the order in which they are computed."""
        task = self.tasks[0].name if task is None else task
        if task not in [item.name for item in self.tasks]:
            raise KeyError(f"no task {task!r} in this run; it has {', '.join(item.name for item in self.tasks)}")
        return tuple(self.of_task(task)[0].comparison.got)

    def __getitem__(self, key: str | tuple[str, str]) -> Tensor:
        """The tensor of a name, or of a task and a name when the run has several tasks; KeyError says what there is."""
        parts: tuple[object, ...] = key if isinstance(key, tuple) else ("", key)
        if len(parts) != 2 or not all(isinstance(part, str) for part in parts):
            raise KeyError(f"{shown(key)}: give the name of a tensor, or those of a task and a tensor")
        task, name = key if isinstance(key, tuple) else (self._task_of(key), key)
        names = self.names(task)
        if name not in names:
            raise KeyError(f"no tensor {name!r} in task {task}{nearest(name, names)}")
        stored = self.design.model.network.result(task).writes if name == RESULT else name
        runs = [
            (item.comparison.got[name], item.comparison.written[name], item.golden[stored], item.reference.get(stored))
            for item in self.of_task(task)
        ]
        code = self.scales.get(stored), self.zeros.get(stored, 0)
        return Tensor.of_runs(task, name, runs, code, self._counts(task)[name][1])

    def _task_of(self, name: str) -> str:
        """The only task with a tensor of this name; the first when none has it. KeyError when several have it."""
        found = [task.name for task in self.tasks if name in self.names(task.name)]
        if len(found) > 1:
            raise KeyError(f"{name!r} is in the tasks {', '.join(found)}; say which: run[{found[0]!r}, {name!r}]")
        return found[0] if found else self.tasks[0].name

    def __contains__(self, key: object) -> bool:
        """Whether a task has a tensor of this name, or this task has: ``name in run``, ``(task, name) in run``."""
        known = {(task.name, name) for task in self.tasks for name in self.names(task.name)}
        return key in known or key in {name for _, name in known}

    def __iter__(self) -> Iterator[Tensor]:
        """Every tensor of every task."""
        return (self[task.name, name] for task in self.tasks for name in self.names(task.name))

    def outputs(self, item: Pass) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """What a pass predicts in real units [rows, outputs]: float model, golden, and RTL as the host reads it."""
        head = self.design.model.network.result(item.run.task).writes
        scale, golden = self.scales[head], item.golden[head]
        codes = item.run.data if item.run.data is not None else np.zeros_like(golden)
        return item.reference[head], golden * scale, codes * scale

    def classifications(self) -> list[Classification]:
        """The answers of classification tasks: task by task, image by image."""
        tasks = [task.name for task in self.tasks if task.kind == "classification"]
        return [self._classified(item) for task in tasks for item in self.of_task(task)]

    def _classified(self, item: Pass) -> Classification:
        (real, _, rtl), image = self.outputs(item), item.run.image
        picture = self.image_names[image] if self.image_names else f"image {image + 1}"
        return classify(rtl[0], real[0], self.labels, task=item.run.task, image=image, picture=picture)

    def instructions(self) -> list[dict[str, Any]]:
        """Start and end of every instruction, for the first image of every task."""
        listed: list[dict[str, Any]] = []
        for task in self.tasks:
            run = self.of_task(task.name)[0].run
            for item in run.instructions(self.compiled.programs[task.name].listing):
                listed.append({"task": task.name} | asdict(item))
        return listed

    def warnings(self) -> list[str]:
        """What about these pictures keeps the machine from following the float model."""
        runs = ((f"{self._called(item.run.image)}, task {item.run.task},", item.reference) for item in self.passes)
        found = excess_warnings(runs, self.scales, self.zeros, self.design.model.network)
        return black_warnings(self.images, "pictures") + found

    def _called(self, image: int) -> str:
        """An image in a sentence, by its number and its name."""
        return f"picture {image + 1}" + (f" ({self.image_names[image]})" if self.image_names else "")

    def report(self) -> dict[str, Any]:
        """Everything as data."""
        cycles, passes = self.cycles, len(self.passes)
        return {
            "model": self.design.model.name,
            "weights": weight_bits_text(self.design.model),
            "board": self.design.board.name,
            "arch": self.design.arch.name,
            "clock_mhz": self.design.board.clock_mhz,
            "images": len(self.images),
            "image_names": list(self.image_names),
            "tasks": [task.name for task in self.tasks],
            "cycles": cycles,
            "cycles_per_image": cycles / passes,
            "milliseconds_per_image": cycles / passes / self.design.board.clock_mhz / 1e3,
            "macs": self.macs,
            "mac_utilisation": self.macs / (self.design.arch.macs * cycles),
            "ddr_read_bytes": sum(item.run.ddr_read_bytes for item in self.passes),
            "ddr_write_bytes": sum(item.run.ddr_write_bytes for item in self.passes),
            "compared": {
                "tensors": sum(len(item.comparison.tensors) for item in self.passes),
                "values": self.values,
                "mismatches": self.mismatches,
            },
            "classifications": [answer.as_dict() for answer in self.classifications()],
            "warnings": self.warnings(),
            "first_mismatch": None if self.first is None else asdict(self.first) | {"text": str(self.first)},
            "tensors": [line.as_dict() for line in self.tensors()],
            "instructions": self.instructions(),
            "passes": [_pass_report(item) for item in self.passes],
            "sim_seconds": self.simulation.sim_seconds,
            "sim_cycles_per_second": self.simulation.sim_cycles_per_second,
            "sim_build_seconds": 0.0 if self.simulation.build.cached else self.simulation.build.seconds,
        }

    def panels(self) -> list[Panel]:
        """The first image, and what every task makes of it, in the float model and in the RTL: maps, or classes."""
        panels = [Panel(title="input", pixels=self.images[0])]
        for task in self.tasks:
            item = self.of_task(task.name)[0]
            if task.kind == "classification":
                panels.append(classification_panel(self._classified(item)))
            else:
                panels += self._maps(task, item)
        return panels

    def _maps(self, task: TaskConfig, item: Pass) -> list[Panel]:
        head = f"heads.{task.name}"
        config = self.design.model
        codes = item.golden[head] if item.run.data is None else item.run.data
        if task.kind == "features":
            return self._lengths(item.reference[head], codes * self.scales[head])
        real = to_pixels(item.reference[head], config, task)
        if task.kind == "segmentation":
            pictures = [colour_classes(real.argmax(axis=-1)), colour_classes(class_map(config, task, codes))]
        else:
            depth = real[..., 0]
            pictures = _coloured(depth, depth_map(config, task, codes, self.scales[head]))
        return _side_by_side(task.kind, pictures)

    def _lengths(self, *features: NDArray[Any]) -> list[Panel]:
        """How long the vector of every patch is; class tokens and registers have no place in the picture."""
        config = self.design.model
        grid = (config.patch_rows, config.patch_columns)
        lengths = [np.linalg.norm(rows[-config.patches :], axis=-1).reshape(grid) for rows in features]
        scaled = [rows.repeat(config.patch, axis=0).repeat(config.patch, axis=1) for rows in lengths]
        return _side_by_side("length of features", _coloured(*scaled))

    def picture(self) -> Image.Image:
        """Input and maps of the first image side by side, from the float model and from the RTL, as a Pillow image."""
        return compose(self.panels(), self.class_names(), self.summary())

    def summary(self) -> str:
        """One line: what was compared, and what was found."""
        tensors = sum(len(item.comparison.tensors) for item in self.passes)
        machine = f"{self.design.network} on {self.design.board.name} (arch {self.design.arch.name})"
        compared = f"{self.values:,} values of {tensors:,} tensors compared"
        return f"{machine}: {compared}, {self.mismatches:,} mismatches between RTL and golden"

    def __repr__(self) -> str:
        """The same between brackets: the fields hold whole networks."""
        return f"<Verification {self.summary()}>"

    def class_names(self) -> tuple[str, ...]:
        """Names for the legend, when a task has the classes of the generated scenes."""
        known = any(task.kind == "segmentation" and task.classes == len(CLASS_NAMES) for task in self.tasks)
        return CLASS_NAMES if known else ()


def _coloured(real: NDArray[Any], made: NDArray[Any]) -> list[NDArray[np.uint8]]:
    """Two maps in the colours of depth, both from the least to the largest value of the first."""
    near, far = float(real.min()), max(float(real.max()), float(real.min()) + 1e-6)
    return [colour_depth(real, near, far), colour_depth(made, near, far)]


def _side_by_side(what: str, pictures: Sequence[NDArray[np.uint8]]) -> list[Panel]:
    titles = (f"{what}, float", f"{what}, RTL")
    return [Panel(title=title, pixels=pixels) for title, pixels in zip(titles, pictures, strict=True)]


def _pass_report(item: Pass) -> dict[str, Any]:
    return {
        "task": item.run.task,
        "image": item.run.image,
        "cycles": item.run.cycles,
        "values": item.comparison.values,
        "mismatches": item.comparison.mismatches,
        "ddr_read_bytes": item.run.ddr_read_bytes,
        "ddr_write_bytes": item.run.ddr_write_bytes,
        "counters": item.run.counters,
        "seconds": item.run.seconds,
    }
