"""The summary page: every figure that it promises, and a warning above a guard rail."""

from hwgen.emit.summary import summary_text
from hwgen.estimator.estimate import estimate
from hwgen.request import resolve


def _text(board: str, arch: str | None = None) -> str:
    design = resolve(board, "m3vit-micro", arch)
    return summary_text(design, [estimate(design, task.name) for task in design.model.tasks])


def test_it_names_configuration_cycles_and_resources():
    text = _text("zcu102")
    assert "4 x 16 x 32 = 2048 a cycle" in text
    lines = [line.split() for line in text.splitlines()]
    cycles = {line[0]: int(line[1].replace(",", "")) for line in lines if line[:1] in (["seg"], ["depth"])}
    design = resolve("zcu102", "m3vit-micro", None)
    assert cycles == {task.name: estimate(design, task.name).cycles for task in design.model.tasks}
    rows = {line[0]: line for line in lines if line and line[0] in ("lut", "ff", "bram36", "dsp")}
    assert {name: row[3] for name, row in rows.items()} == {
        "lut": "274,080",
        "ff": "548,160",
        "bram36": "912",
        "dsp": "2,520",
    }
    assert "ABOVE" not in text


def test_a_machine_that_fills_the_part_is_marked(monkeypatch):
    monkeypatch.setattr("hwgen.estimator.resources.GUARD_RAILS", {"lut": 0.7, "ff": 0.5, "bram36": 0.8, "dsp": 0.01})
    marked = [line.split()[0] for line in _text("zcu102").splitlines() if "ABOVE" in line]
    assert marked == ["dsp"]


def test_the_same_design_gives_the_same_text():
    assert _text("sim") == _text("sim")
