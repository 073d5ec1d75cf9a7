"""hwgen evaluate --data: top-1 and top-5 on class folders, with a machine that makes no mistake, or one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from golden.network import run_network
from golden.reference.m3vit_float import FloatModel
from hwgen import class_accuracy
from hwgen.class_accuracy import place
from hwgen.frontend.store import load_float, load_model
from sim.session import SimResult
from tests.cli.test_verify import CLASSIFIER, FakeMachine, run
from tests.perfect_machine import without_simulator

MODEL = "small.yaml"
NAMES = ("bird", "cat", "cow", "dog", "fish", "fox", "owl")
EVALUATE = ("evaluate", MODEL, "--board", "sim", "--data", "pets", "--json", "out.json")
Rows = dict[tuple[str, int], dict[str, Any]]


class Batches(FakeMachine):
    """Remembers how many images came in each simulation; ``faulty``: every result is zero."""

    def simulate(self, *given: Any) -> SimResult:
        """As `sim.session.simulate`."""
        faulty, self.faulty = self.faulty, False
        result = super().simulate(*given)
        self.batches = [*getattr(self, "batches", ()), len(self.images)]
        self.faulty = faulty
        if not faulty:
            return result
        return replace(result, runs=tuple(replace(item, data=np.zeros_like(item.data)) for item in result.runs))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Batches:
    """A folder with a classifier and two pictures of every class, and a machine in place of the simulator."""
    fake = Batches(model=MODEL)
    without_simulator(monkeypatch, fake.simulate)
    monkeypatch.chdir(tmp_path)
    Path(MODEL).write_text(CLASSIFIER)
    random = np.random.default_rng(0)
    for name in NAMES:
        (Path("pets") / name).mkdir(parents=True)
        for number in range(2):
            pixels = random.integers(1, 256, (16, 16 + 4 * number, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(Path("pets") / name / f"{number}.png")
    return fake


def _rows() -> Rows:
    return {(row["model"], row["pictures"]): row for row in json.loads(Path("out.json").read_text())["rows"]}


def _expected(count: int) -> tuple[list[int], list[int]]:
    """Places of the true classes by float and golden model, for the first pictures of every class."""
    package = load_model(MODEL)
    model, places = FloatModel(load_float(MODEL), package.config), ([], [])
    for label, name in enumerate(NAMES[:count]):
        with Image.open(Path("pets") / name / "0.png") as picture:
            image = np.asarray(picture)
        answers = model.run(image, "animal"), run_network(package, image, "animal")
        for found, answer in zip(places, answers, strict=True):
            found.append(place(answer["heads.animal"][0], label))
    return places


def test_places_are_counted_from_one():
    assert [place(np.array([1.0, 5.0, 5.0]), label) for label in range(3)] == [3, 1, 2]


def test_one_table_of_three_models(machine: Batches, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*EVALUATE, "--rtl-images", "5") == 0
    rows = _rows()
    assert list(rows) == [("float", 14), ("golden", 14), ("float", 5), ("golden", 5), ("RTL", 5)]
    for model, places in zip(("float", "golden"), _expected(5), strict=True):
        assert rows[model, 5]["top1"] == pytest.approx(np.mean([found == 1 for found in places]))
        assert rows[model, 5]["top5"] == pytest.approx(np.mean([found <= 5 for found in places]))
    assert (rows["RTL", 5]["top1"], rows["RTL", 5]["top5"]) == (rows["golden", 5]["top1"], rows["golden", 5]["top5"])
    assert rows["RTL", 5]["values"] > 5 * 1000
    assert rows["RTL", 5]["mismatches"] == 0
    out, err = capsys.readouterr()
    assert "float and golden model, 7 of 14 pictures ..." in err
    assert "7 of 14 pictures scaled to 16 x 16 pixels (width x height) and cut around the middle" in out
    assert "values of its 5 pictures" in out


def test_batches_and_no_line_twice(machine: Batches, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_accuracy, "BATCH_SCENES", 2)
    assert run(*EVALUATE, "--images", "5", "--rtl-images", "5") == 0
    assert machine.batches == [2, 2, 1]
    assert list(_rows()) == [("float", 5), ("golden", 5), ("RTL", 5)]
    assert run(*EVALUATE, "--images", "3", "--rtl-images", "0") == 0
    assert list(_rows()) == [("float", 3), ("golden", 3)]
    assert len(machine.batches) == 3


def test_what_the_machine_writes_is_what_is_scored(machine: Batches, capsys: pytest.CaptureFixture[str]) -> None:
    machine.faulty = True
    assert run(*EVALUATE, "--images", "7", "--rtl-images", "7") == 1
    row = _rows()["RTL", 7]
    assert (row["top1"], row["top5"]) == pytest.approx((1 / 7, 5 / 7)), "ties go to the lower class"
    assert row["mismatches"] > 0
    assert "differs from golden in" in capsys.readouterr().out


def test_names_say_which_folder_is_which(machine: Batches) -> None:
    """The same folders under other indices: another answer is the true one."""
    Path("names.txt").write_text("\n".join(reversed(NAMES)))
    assert run(*EVALUATE, "--rtl-images", "0") == 0
    plain = _rows()["golden", 14]
    assert run(*EVALUATE, "--rtl-images", "0", "--labels", "names.txt") == 0
    assert _rows()["golden", 14] != plain


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--data", "none"), "--data none: no such folder"),
        (("--data", "pets", "--fit", "exact"), "1.png: 20 x 16 pixels (width x height), small takes"),
        (("--data", "pets", "--model", "m3vit-micro"), "give the network once"),
        (("--data", "pets", "--labels", "names.txt"), "--data pets/fox: no class is called 'fox'"),
        (("--data", "pets", "--task", "plant"), "--task plant: small has the tasks animal (classification)"),
        (("--labels", "names.txt"), "--labels: is for pictures of your own; give --data FOLDER"),
        ((), "or give pictures of its classes by --data FOLDER"),
    ],
)
def test_bad_input_is_exit_code_two(
    machine: Batches, words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("names.txt").write_text("\n".join(name.replace("fox", "hen") for name in NAMES))
    before = sorted(Path().iterdir())
    assert run("evaluate", MODEL, "--board", "sim", *words) == 2
    assert says in capsys.readouterr().err
    assert sorted(Path().iterdir()) == before
