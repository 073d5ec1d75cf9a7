"""What a verification found: per tensor, per instruction, in total; as data, and as maps for a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.predict import class_map, depth_map
from golden.reference.scenes import CLASS_NAMES
from hwgen.compiler.compile import Compiled
from hwgen.frontend.black_pixels import black_warnings
from hwgen.frontend.evaluate import to_pixels
from hwgen.frontend.range_excess import excess_warnings
from hwgen.report.agreement import TensorReport, tensor_reports
from hwgen.report.picture import Panel, colour_classes, colour_depth
from hwgen.spec.design import Design
from hwgen.spec.model import TaskConfig
from hwgen.spec.weight_bits import weight_bits_text
from sim.compare import Comparison, Mismatch
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
    """Every pass of a verification."""

    design: Design
    compiled: Compiled
    scales: Mapping[str, float]
    images: Sequence[NDArray[np.uint8]]
    tasks: tuple[TaskConfig, ...]
    passes: tuple[Pass, ...]
    simulation: SimResult

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
        passes = self.of_task(task)
        compared: dict[str, tuple[int, int]] = {}
        for item in passes:
            for name, count in item.comparison.tensors.items():
                values, mismatches = compared.get(name, (0, 0))
                compared[name] = (values + count.values, mismatches + count.mismatches)
        golden, reference = (_stacked([getattr(item, kind) for item in passes]) for kind in ("golden", "reference"))
        return tensor_reports(task, compared, golden, reference, self.scales)

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
        runs = ((f"picture {item.run.image + 1}, task {item.run.task},", item.reference) for item in self.passes)
        found = excess_warnings(runs, self.scales, self.design.model.network)
        return black_warnings(self.images, "pictures") + found

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
        """The first image, and the maps of every dense task from the float model and from the RTL."""
        panels = [Panel(title="input", pixels=self.images[0])]
        for task in self.tasks:
            if task.kind != "classification":
                panels += self._maps(task, self.of_task(task.name)[0])
        return panels

    def _maps(self, task: TaskConfig, item: Pass) -> list[Panel]:
        head = f"heads.{task.name}"
        config = self.design.model
        real = to_pixels(item.reference[head], config, task)
        codes = item.golden[head] if item.run.data is None else item.run.data
        if task.kind == "segmentation":
            pictures = [colour_classes(real.argmax(axis=-1)), colour_classes(class_map(config, task, codes))]
        else:
            depth = real[..., 0]
            near, far = float(depth.min()), max(float(depth.max()), float(depth.min()) + 1e-6)
            made = depth_map(config, task, codes, self.scales[head])
            pictures = [colour_depth(depth, near, far), colour_depth(made, near, far)]
        titles = (f"{task.kind}, float", f"{task.kind}, RTL")
        return [Panel(title=title, pixels=pixels) for title, pixels in zip(titles, pictures, strict=True)]

    def class_names(self) -> tuple[str, ...]:
        """Names for the legend, when a task has the classes of the generated scenes."""
        known = any(task.kind == "segmentation" and task.classes == len(CLASS_NAMES) for task in self.tasks)
        return CLASS_NAMES if known else ()


def _stacked(items: Sequence[Tensors]) -> dict[str, NDArray[Any]]:
    """Tensors of several images, side by side."""
    return {name: np.stack([item[name] for item in items]) for name in items[0]}


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
