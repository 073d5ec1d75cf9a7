"""What the router reports, as a clock and as a table."""

from pathlib import Path

import pytest

import hwgen.synth.fmax
from hwgen.synth.fmax import Clock, _worst, clocks, table
from hwgen.synth.modules import split_modules


def _path(start: str, end: str, delays: list[float], clock: tuple[str, str] = ("clk", "clk")) -> dict:
    hops = [{"type": kind, "delay": delay} for delay in delays for kind in ("logic", "routing")]
    for hop in hops:
        hop |= {"from": {"cell": "between"}, "to": {"cell": "between"}}
    hops[0]["from"], hops[-1]["to"] = {"cell": start}, {"cell": end}
    return {"from": clock[0], "to": clock[1], "path": hops}


def test_the_longest_path_of_the_clock():
    """Paths from and to ports do not count."""
    report = {
        "fmax": {"clk": {"achieved": 171.26}},
        "critical_paths": [
            _path("a_TRELLIS_FF_Q", "b_TRELLIS_FF_Q_3", [1.0, 2.0]),
            _path("c_TRELLIS_FF_Q", "d_TRELLIS_FF_Q_1", [1.0, 1.0, 2.0]),
            _path("p", "q", [9.0], clock=("<async>", "clk")),
        ],
    }
    worst = _worst("core.unit", report)
    assert (worst.unit, worst.mhz, worst.levels) == ("core.unit", 171.3, 3)
    assert (worst.start, worst.end) == ("c_TRELLIS_FF_Q", "d_TRELLIS_FF_Q_1")


def test_a_unit_without_registers_has_no_clock():
    report = {"fmax": {}, "critical_paths": [_path("p", "q", [1.0], clock=("<async>", "<async>"))]}
    assert _worst("core.wires", report).mhz is None


def test_table_names_registers_and_reasons():
    clocks = [
        Clock(unit="core.unit", mhz=171.3, start="count_TRELLIS_FF_Q_12", end="state_TRELLIS_FF_Q", levels=7),
        Clock(unit="core.sum", mhz=200.0, start="\\$49_TRELLIS_FF_Q_18", end="sum_TRELLIS_FF_Q", levels=2),
        Clock(unit="core.wires", mhz=None, start="", end="", levels=0, note="no path between registers"),
    ]
    lines = table(clocks).splitlines()
    assert lines[2] == "| 171.3 | core.unit | `count` | `state` | 7 |"
    assert lines[3] == "| 200.0 | core.sum | `unnamed` | `sum` | 2 |"
    assert lines[4] == "| - | core.wires | no path between registers |  |  |"


@pytest.mark.parametrize("damage", [b"", b"\xe8", b"[1]", b'{"unit": "a"}'])
def test_a_damaged_clock_is_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes):
    routed = Clock(unit="a", mhz=100.0, start="", end="", levels=1)
    measured: list[str] = []
    monkeypatch.setattr(hwgen.synth.fmax, "_key", lambda modules, name: name)
    monkeypatch.setattr(hwgen.synth.fmax, "_routed", lambda modules, name: measured.append(name) or routed)
    modules = split_modules("module a();\nendmodule\n")
    for _ in range(2):
        assert list(clocks(modules, ["a"], tmp_path)) == [routed]
    (tmp_path / "a.json").write_bytes(damage)
    assert list(clocks(modules, ["a"], tmp_path)) == [routed]
    assert measured == ["a", "a"]
