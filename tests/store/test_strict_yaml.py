"""YAML files that no parser expects get one short message that names the file."""

import time
from pathlib import Path

import pytest

from hwgen.store.archs import load_arch
from hwgen.store.boards import board, load_board
from hwgen.store.data_folder import data_folder
from hwgen.store.strict_yaml import ConfigError, read_mapping

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)


def message(path: Path, text: str) -> str:
    path.write_text(text)
    with pytest.raises(ConfigError) as found:
        load_arch(path)
    said = str(found.value)
    assert said.startswith(f"{path}: ")
    return said.removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("base: &a sim\nname: *a\n", "line 2: alias *a; write it out"),
        (LAUGHS, "line 2: alias *a0; write it out"),
        ("base: sim\n<<: *a\n", "line 2: alias *a; write it out"),
        (f"name: *{'a' * 5000}\n", f"line 1: alias *{'a' * 39} ... {'a' * 39}; write it out"),
        ("base: sim\ntoken_lanes: " + "9" * 300, "token_lanes = 9999999999999999999999999999999999999999 ... 9999"),
        ("base: sim\ntoken_lanes: " + "9" * 5000, "not readable as YAML: Exceeds the limit"),
        ("base: sim\ntoken_lanes: 0x" + "9" * 30000, "token_lanes = a int with thousands of digits: Input should be"),
        ("base: sim\nring_bytes: 0x" + "9" * 30000, "ring_bytes a int with thousands of digits must be in"),
        ("base: sim\nname: [" + "a," * 9999 + "]", "name = ['a', 'a', 'a', 'a', "),
        ("base: sim\n" + "k" * 9999 + ": 1", "line 2: a key of more than 1024 characters"),
        ("base: sim\n? " + "k" * 9999 + "\n: 1", f"unknown key '{'k' * 39} ... {'k' * 39}' (known: "),
        ("base: " + "x" * 9999, "base: unknown arch 'xxxxxxx"),
        ("[" * 100_000, "not readable as YAML: brackets are nested too deep"),
        ("a: " * 100_000, "not readable as YAML: "),
    ],
    ids=range(14),
)
def test_an_arch_file(tmp_path: Path, text: str, says: str):
    begin = time.monotonic()
    said = message(tmp_path / "mine.yaml", text)
    assert time.monotonic() - begin < 20
    if "1024" not in says:
        assert said.startswith(says)
    assert len(said) < 800


def test_an_anchor_alone_is_harmless(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("base: &a sim\n")
    assert read_mapping(path) == {"base": "sim"}


@pytest.mark.parametrize("number", ["9" * 300, "9" * 400, "0x" + "9" * 30000, "-1", ".nan", ".inf", "0"])
def test_numbers_of_a_board(tmp_path: Path, number: str):
    path = tmp_path / "sim.yaml"
    shipped = (data_folder("boards") / "sim.yaml").read_text()
    for line in ("clock_mhz: 100", "  peak_gb_per_s: "):
        assert line in shipped
        start = shipped.index(line)
        key = line.partition(":")[0]
        path.write_text(f"{shipped[:start]}{key}: {number}{shipped[shipped.index(chr(10), start) :]}")
        with pytest.raises(ConfigError, match=key.strip()) as found:
            load_board(path)
        assert len(str(found.value)) < 300
    assert board("sim").clock_mhz == 100
