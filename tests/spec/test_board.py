"""Board files: what ships is right, what is wrong is named."""

from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from hwgen.spec.board import Board, Ddr
from hwgen.spec.limits import limits_of
from hwgen.store.boards import board, board_names, load_board
from hwgen.store.data_folder import data_folder
from hwgen.store.strict_yaml import ConfigError


def changed(tmp_path: Path, edit: str, value: object) -> Path:
    """sim.yaml with the key at dotted path ``edit`` set (None: removed)."""
    data = yaml.safe_load((data_folder("boards") / "sim.yaml").read_text())
    *parents, key = edit.split("/")
    record = data
    for parent in parents:
        record = record[parent]
    if value is None:
        del record[key]
    else:
        record[key] = value
    path = tmp_path / "sim.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def test_shipped_boards():
    assert board_names() == ["sim", "zcu102"]
    zcu102 = board("zcu102")
    found = zcu102.resources
    assert (found.lut, found.ff, found.bram36, found.uram, found.dsp) == (274080, 548160, 912, 0, 2520)
    assert zcu102.part == "xczu9eg-ffvb1156-2-e"
    assert zcu102.bytes_per_cycle == pytest.approx(45.52)


@pytest.mark.parametrize("name", board_names())
def test_every_figure_has_a_source(name: str):
    sources = board(name).sources
    assert set(sources) == {"part", "clock_mhz", "resources", "axi", *(f"ddr.{key}" for key in limits_of(Ddr))}
    assert all(len(text) > 10 for text in sources.values())


@pytest.mark.parametrize("name", board_names())
def test_data_folder_is_what_a_wheel_ships(name: str):
    """The lookup finds a package, not just a path beside this file."""
    assert (data_folder("boards") / "__init__.py").is_file()
    assert (data_folder("boards") / f"{name}.yaml").is_file()
    assert (data_folder("rtl_templates") / "__init__.py").is_file()


@pytest.mark.parametrize(
    ("edit", "value", "message"),
    [
        ("clock_mhzz", 3, r"unknown key 'clock_mhzz'; did you mean 'clock_mhz'\?"),
        ("resources/luts", 3, r"unknown key 'resources.luts'; did you mean 'lut'\?"),
        ("ddr/peak_gb_s", 3, r"unknown key 'ddr.peak_gb_s'; did you mean 'peak_gb_per_s'\?"),
        ("sources/ddr.effeciency", "x", r"unknown key 'sources.ddr.effeciency'; did you mean 'ddr.efficiency'\?"),
        ("sources/axi", None, "sources lacks axi; say where each figure comes from"),
        ("part", None, "key 'part' is missing; add it"),
        ("ddr/read_latency_cycles", 99, "ddr.read_latency_cycles = 99: Input should be greater than or equal to 100"),
        ("ddr/efficiency", 1.5, "ddr.efficiency = 1.5: Input should be less than or equal to 1"),
        ("ddr/refresh_cycles", 780, "refresh_cycles 780 must be below ddr.refresh_interval_cycles 780"),
        ("axi/data_bits", 64, "axi.data_bits = 64: Input should be greater than or equal to 128"),
        ("clock_mhz", "fast", "clock_mhz = 'fast': Input should be a valid number"),
        ("name", "zim", "name is 'zim', the file is called 'sim'; make them equal"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, edit: str, value: object, message: str):
    with pytest.raises(ConfigError, match=message) as caught:
        load_board(changed(tmp_path, edit, value))
    assert str(tmp_path / "sim.yaml") in str(caught.value)


def test_all_problems_at_once(tmp_path: Path):
    (tmp_path / "sim.yaml").write_text("name: sim\naxi: {ports: 1, data_bits: 128}\n")
    with pytest.raises(ConfigError) as caught:
        load_board(tmp_path / "sim.yaml")
    lines = str(caught.value).splitlines()
    assert len(lines) == 1 + len({item.name for item in fields(Board)} - {"name", "axi"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: sim\nname: zim\n", "line 2: key 'name' is given twice"),
        ("- a\n- b\n", "expected keys and values, found list"),
        ("name: [", "not readable as YAML"),
    ],
)
def test_unreadable_files(tmp_path: Path, text: str, message: str):
    (tmp_path / "sim.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_board(tmp_path / "sim.yaml")


def test_no_such_board(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"unknown board 'zcu103'; did you mean 'zcu102'\? \(known: sim, zcu102\)"):
        board("zcu103")
    with pytest.raises(ConfigError, match="no such file"):
        load_board(tmp_path / "absent.yaml")
