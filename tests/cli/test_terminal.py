"""Options of every command: the version, silence, and what a shell completes."""

from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hwgen.cli import main as cli
from hwgen.spec.presets import MODELS
from hwgen.store.boards import board_names
from tests.cli.test_verify import FakeMachine
from tests.perfect_machine import without_simulator


def _code(*words: str) -> int:
    """Exit code of a command line."""
    try:
        return cli.run(words)
    except SystemExit as end:
        return int(end.code or 0)


def _completed(line: str) -> list[str]:
    """What bash is told when the last word of a line is to be completed."""
    words = line.split(" ")
    environment = {"_HWGEN_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    return CliRunner().invoke(cli.app, [], prog_name="hwgen", env=environment).stdout.split()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeMachine:
    """A machine in place of the simulator, and an empty folder."""
    fake = FakeMachine()
    without_simulator(monkeypatch, fake.simulate)
    monkeypatch.chdir(tmp_path)
    return fake


def test_the_version(capsys: pytest.CaptureFixture[str]):
    assert _code("--version") == 0
    assert capsys.readouterr().out == f"hwgen {metadata.version('hwgen')}\n"


def test_quiet_leaves_results_and_errors(machine: FakeMachine, capsys: pytest.CaptureFixture[str]):
    """Before the command and behind it; the next command speaks again."""
    words = ("verify", "--board", "sim", "-o", "out")
    for line in (("--quiet", *words), (*words, "--quiet")):
        assert _code(*line) == 0
        said = capsys.readouterr()
        assert "0 mismatches between RTL and golden" in said.out
        assert said.err == ""
    assert _code(*words) == 0
    assert "] comparison (" in capsys.readouterr().err
    assert _code(*words, "--quiet", "--model", "none") == 2
    assert "error: unknown model 'none'" in capsys.readouterr().err


def test_help_has_the_options_of_every_command_and_no_other(capsys: pytest.CaptureFixture[str]):
    assert _code("--help") == 0
    said = capsys.readouterr().out
    options = {word for word in said.split() if word.startswith("--")}
    assert options == {"--version", "--quiet", "--install-completion", "--show-completion", "--help"}
    assert all(command in said for command in cli.COMMANDS)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("hwgen ev", ["evaluate"]),
        ("hwgen verify --fi", ["--fit"]),
        ("hwgen verify --board ", board_names()),
        ("hwgen estimate --board zcu102 --model ", list(MODELS)),
        ("hwgen --quiet build --model vit", ["vit-tiny", "vit-tiny-384", "vit-base"]),
        ("hwgen quantize m3vit-m", ["m3vit-micro"]),
        ("hwgen evaluate deit", ["deit-tiny", "deit-small", "deit-base"]),
        ("hwgen verify --model nets/", []),  # bash lists files then
    ],
)
def test_what_a_shell_completes(line: str, words: list[str]):
    assert _completed(line) == words
