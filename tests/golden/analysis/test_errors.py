"""Errors of the function tables; docs/numerics.md holds the figures that are measured."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from golden.analysis import errors
from golden.analysis.markdown import rewritten
from hwgen.spec.tables import default_tables

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "numerics.md"


def test_document_holds_these_tables():
    text = DOCUMENT.read_text()
    assert errors.regenerated(text) == text, "run: python -m golden.analysis.errors docs/numerics.md"
    assert text.count(f"<!-- {errors.COMMAND} ") == len(errors.PARTS) == 4
    for row in ("| `rsqrt` |", "| sum of a row's probabilities | 1024 keys", "| (acc + bias) * M |"):
        assert text.count(row) == 1, row


def test_command_prints_the_tables_and_writes_them(tmp_path: Path):
    def run(*words: str) -> str:
        command = [sys.executable, "-m", "golden.analysis.errors", *words]
        return subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True).stdout

    parts = [make() for make in errors.PARTS.values()]
    assert run() == "\n".join(parts)
    copy = tmp_path / "copy.md"
    copy.write_text(DOCUMENT.read_text().replace("| `rsqrt` |", "| wrong |"))
    assert run(str(copy)) == ""
    assert copy.read_text() == DOCUMENT.read_text()


def test_a_document_without_a_fence_is_refused():
    command = r"python -m golden\.analysis\.errors tables"
    with pytest.raises(ValueError, match=rf"expected one <!-- {command} --> .*, found 0"):
        errors.regenerated("# Numerics\n")
    fence = "<!-- x -->\n<!-- end -->\n"
    assert rewritten(fence, "x", "new\n") == "<!-- x -->\n\nnew\n\n<!-- end -->\n"
    with pytest.raises(ValueError, match="found 2"):
        rewritten(2 * fence, "x", "new\n")


def test_every_table_stays_within_its_derived_bound():
    found = {item.name: item for item in errors.table_errors()}
    assert set(found) == set(default_tables())
    inputs = {"exp2": 32, "gelu": 2**16, "reciprocal": 2**17, "rsqrt": 3 * 2**16, "gate_exp2": 2**16}
    for name, item in found.items():
        assert item.error.size == inputs[name], name
        largest = np.abs(item.error).max()
        assert 0.5 * (item.chord + item.roundings) < largest <= item.chord + item.roundings, name


def test_chords_are_those_of_the_functions():
    """h^2 / 8 max|f''|, the derivative taken numerically where it is largest."""

    def second(function, x: float, h: float = 1e-4) -> float:
        return abs(function(x + h) - 2 * function(x) + function(x - h)) / h**2

    found = {item.name: item.chord for item in errors.table_errors()}
    assert found["reciprocal"] == pytest.approx(second(lambda m: 1 / m, 1 + 1e-4) / 128**2 / 8, rel=1e-3)
    assert found["rsqrt"] == pytest.approx(second(lambda m: m**-0.5, 1 + 1e-4) / 64**2 / 8, rel=1e-3)
    delta = second(lambda x: abs(x) / 2 - x * math.erf(x / math.sqrt(2)) / 2 - abs(x) / 2, 0.0)
    assert found["gelu"] == pytest.approx(delta / 32**2 * 3 / 32, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "places"), [("exp2", 2), ("gelu", 4), ("reciprocal", 2), ("rsqrt", 2), ("gate_exp2", 4)]
)
def test_a_wrong_entry_is_noticed(name: str, places: int, monkeypatch: pytest.MonkeyPatch):
    spoilt = {key: array.copy() for key, array in default_tables().items()}
    spoilt[name][1, 0] += places
    monkeypatch.setattr(errors, "_TABLES", spoilt)
    (item,) = (item for item in errors.table_errors() if item.name == name)
    assert np.abs(item.error).max() > item.chord + item.roundings
    assert errors.tables_table() not in DOCUMENT.read_text()


def test_what_the_document_says_of_steps():
    rows = {(row.step, row.inputs): row.error for row in errors.step_errors()}
    assert len(rows) == 20
    u = np.abs(rows["u", "9 octaves of scores"])
    assert 0.49 < u.max() <= 0.51
    sums = [np.abs(error).max() for (step, inputs), error in rows.items() if "sum" in step and "1.25" in inputs]
    assert len(sums) == 4
    assert max(sums) < 0.012
    scores = [np.abs(error).max() for (step, _), error in rows.items() if step == "expert score"]
    assert len(scores) == 4
    assert max(scores) < 3e-4
