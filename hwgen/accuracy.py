"""How good a network is as float model, as integer golden model and as Verilog, on scenes that no training has seen."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from golden.reference.scenes import HELD_OUT_FIRST_SEED, Scene, draw_scenes
from hwgen.frontend.evaluate import Quality, float_quality, integer_quality, scored, scored_tasks
from hwgen.frontend.store import load_float, load_model
from hwgen.pipeline import Wanted, verify
from hwgen.report.verification import Verification
from hwgen.spec.design import Design
from hwgen.spec.model import TaskConfig
from hwgen.steps import Steps

BATCH_SCENES = 20  # scenes of one simulation: the tensors of all its passes are held in memory
STEPS = ("scenes", "float model", "golden model")
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table: a model on a number of scenes, and how its values compare with golden's."""

    model: str  # float, golden or RTL
    scenes: int
    quality: Quality
    values: int | None = None  # compared with golden, all named tensors; None where nothing is compared
    mismatches: int | None = None


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Every line, and what was measured."""

    design: Design
    rows: tuple[Row, ...]

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
            "first_seed": HELD_OUT_FIRST_SEED,
            "mismatches": self.mismatches,
            "rows": [asdict(row) for row in self.rows],
        }


def held_out(design: Design, count: int) -> list[Scene]:
    """Scenes of the network's image size that neither training nor calibration has seen."""
    seeds = range(HELD_OUT_FIRST_SEED, HELD_OUT_FIRST_SEED + count)
    return draw_scenes(seeds, height=design.model.image_height, width=design.model.image_width)


def measure(design: Design, folder: Path, scenes: int, rtl_scenes: int, say: Say) -> Accuracy:
    """Float and golden model on ``scenes`` scenes, then all three on the first ``rtl_scenes``; no line twice."""
    steps = Steps(folder, STEPS, say)
    name = design.weights or design.model.name
    drawn = steps.run("scenes", lambda: held_out(design, max(scenes, rtl_scenes)))
    if rtl_scenes == scenes:
        return Accuracy(design=design, rows=_simulated(design, folder, drawn, say))
    wide = drawn[:scenes]
    real = steps.run("float model", lambda: float_quality(load_float(name), design.model, wide))
    whole = steps.run("golden model", lambda: integer_quality(load_model(name, int4=design.model.int4), wide))
    rows = (Row(model="float", scenes=scenes, quality=real), Row(model="golden", scenes=scenes, quality=whole))
    return Accuracy(design=design, rows=rows + _simulated(design, folder, drawn[:rtl_scenes], say))


def _simulated(design: Design, folder: Path, scenes: Sequence[Scene], say: Say) -> tuple[Row, ...]:
    """Float, golden and RTL on the same scenes; every named tensor of the RTL is compared with golden."""
    if not scenes:
        return ()
    tasks = tuple(task for task in scored_tasks(design.model) if task is not None)
    heads: list[_Heads] = []
    values = mismatches = 0
    for first in range(0, len(scenes), BATCH_SCENES):
        images = [scene.image for scene in scenes[first : first + BATCH_SCENES]]
        found = verify(design, folder, Wanted(images=images, tasks=tasks), say)
        heads += _heads(found, tasks)
        values, mismatches = values + found.values, mismatches + found.mismatches
    qualities = [scored(lambda n, task, k=kind: heads[n][k][task], design.model, scenes) for kind in range(3)]
    real, golden, rtl = (
        Row(model=model, scenes=len(scenes), quality=quality)
        for model, quality in zip(("float", "golden", "RTL"), qualities, strict=True)
    )
    return real, golden, Row(model="RTL", scenes=len(scenes), quality=rtl.quality, values=values, mismatches=mismatches)


_Heads = tuple[dict[str, NDArray[Any]], ...]  # of float, golden and RTL: task -> outputs in real units


def _heads(found: Verification, tasks: tuple[TaskConfig, ...]) -> list[_Heads]:
    """What the three models predict for every image of a verification."""
    passes = {(item.run.image, item.run.task): item for item in found.passes}
    return [
        tuple({t.name: found.outputs(passes[image, t.name])[kind] for t in tasks} for kind in range(3))
        for image in range(len(found.images))
    ]
