"""Answers of a classifier: order, probabilities and names by hand; as a table, as bars and as data."""

import json

import numpy as np
import pytest
from rich.console import Console

from golden.predict import class_index
from hwgen.report.classification import (
    IN_FULL,
    Classification,
    classification_panel,
    classification_table,
    classify,
    ranked,
    softmax,
)
from hwgen.report.labels import Labels
from hwgen.report.picture import BARS_PIXELS, CLASS_COLOURS, Bar, bars
from hwgen.spec.model import TaskConfig

LABELS = Labels(tuple((f"name {n}",) for n in range(7)))
RTL = np.array([0.0, 3.0, 1.0, 3.0, -1.0, 2.0, 0.5])
REAL = np.array([0.0, 2.9, 1.1, 3.1, -1.0, 2.0, 0.5])


def _answer(labels: Labels | None = LABELS, picture: str = "a.png") -> Classification:
    return classify(RTL, REAL, labels, task="animal", image=0, picture=picture)


def _text(answers: list[Classification]) -> str:
    console = Console(width=100, record=True)
    console.print(classification_table(answers))
    return console.export_text()


def test_probabilities_by_hand():
    assert softmax(np.array([0.0, np.log(3.0)])) == pytest.approx([0.25, 0.75])
    assert softmax(np.array([2000.0, 2000.0])) == pytest.approx([0.5, 0.5])


def test_ties_go_to_the_lower_class_as_in_golden():
    codes = np.random.default_rng(0).integers(-3, 3, (200, 1, 9))
    task = TaskConfig(name="animal", kind="classification", classes=9)
    assert [ranked(item)[0][0] for item in codes] == [class_index(task, item) for item in codes]


def test_the_best_five_with_both_probabilities():
    answer = _answer()
    assert [guess.index for guess in answer.top] == [1, 3, 5, 2, 6]
    assert [guess.index for guess in answer.real_top] == [3, 1, 5, 2, 6]
    assert [(guess.place, guess.real_place) for guess in answer.top] == [(1, 2), (2, 1), (3, 3), (4, 4), (5, 5)]
    assert answer.top[0].rtl == pytest.approx(np.exp(3.0) / np.exp(RTL).sum())
    assert answer.top[0].real == pytest.approx(np.exp(2.9) / np.exp(REAL).sum())
    assert not answer.same
    data = json.loads(json.dumps(answer.as_dict()))
    assert data["top"][0] == {
        "class": 1,
        "name": "name 1",
        "rtl": answer.top[0].rtl,
        "float": answer.top[0].real,
        "place": 1,
        "float_place": 2,
    }
    assert (data["picture"], data["same_class"], data["float_top"][0]["class"]) == ("a.png", False, 3)


def test_few_classes_and_no_names():
    answer = classify(RTL[:2], REAL[:2], None, task="animal", image=0, picture="")
    assert [str(guess) for guess in answer.top] == ["class 1", "class 0"]
    assert answer.as_dict()["top"][0]["name"] is None


def test_names_stand_in_the_table_as_they_are():
    """Square brackets are no mark-up; many images get a line each."""
    text = _text([_answer(Labels(tuple((f"[red]{n}[/]",) for n in range(7))), picture="[b].png")])
    lines = [line.split() for line in text.splitlines() if "[red]" in line]
    assert lines[0] == ["animal", "[b].png", "1", "[red]1[/]", "37.7%", "33.8%", "2"]
    assert len(lines) == 5
    many = _text([_answer()] * (IN_FULL + 1))
    assert sum("name 1" in line for line in many.splitlines()) == IN_FULL + 1
    assert "name 3" not in many


def test_bars_are_as_long_as_their_values():
    width, height = BARS_PIXELS
    found = bars([Bar(label="one", value=0.75, beside=0.5), Bar(label="x" * 300, value=0.25, beside=0.0)])
    assert found.shape == (height, width, 3)
    blue, grey = ((found == colour).all(axis=-1) for colour in (CLASS_COLOURS[1], CLASS_COLOURS[7]))
    lengths = [int(row.sum()) for row in blue if row.sum() > 10]
    assert max(lengths) == pytest.approx(0.75 * width, abs=2)
    assert min(lengths) == pytest.approx(0.25 * width, abs=2)
    assert max(grey.sum(axis=1)) == pytest.approx(0.5 * width, abs=2)


def test_the_panel_has_its_own_size():
    panel = classification_panel(_answer())
    assert panel.title == "animal: RTL (blue) and float (grey)"
    assert panel.drawn
    assert panel.pixels.shape[:2] == BARS_PIXELS[::-1]
