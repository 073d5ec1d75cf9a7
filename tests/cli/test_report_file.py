"""What ``--json`` leaves: the result or the error of this run, wherever it goes; never that of an earlier one."""

import inspect
import json
import os
import resource
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hwgen.cli import lists
from hwgen.cli import main as cli
from hwgen.cli.options import JsonFile
from hwgen.cli.report_file import Report
from tests.cli.test_main import hwgen
from tests.store.test_output_file import NULL, device

OLD = '{"models": ["of an earlier run"]}\n'
MODELS = ("models", "--json")
LOOK_UPS = [("doctor",), ("models",), ("boards",), ("estimate", "--board", "zcu102")]


def small_files() -> None:
    """What a full disk does, in the child: writing fails after so many bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.mark.parametrize("words", LOOK_UPS, ids=lambda words: words[0])
def test_a_dash_sends_the_report_to_standard_output_and_the_tables_to_the_other(
    tmp_path: Path, words: tuple[str, ...], capfd: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as end:
        cli.run([*words, "--json", "-"])
    assert end.value.code == 0
    plain = capfd.readouterr()
    assert isinstance(json.loads(plain.out), dict)
    with pytest.raises(SystemExit):
        cli.run(list(words))
    assert len(plain.err) > 100
    assert plain.err.splitlines()[:5] == capfd.readouterr().out.splitlines()[:5]
    assert list(tmp_path.iterdir()) == []


def test_every_command_has_the_same_option():
    commands = [info.callback for info in cli.app.registered_commands if info.callback is not None]
    assert len(commands) == 12
    for command in commands:
        assert inspect.signature(command).parameters["json_file"].annotation is JsonFile, command.__name__


def test_standard_output_by_name_stays_what_it_is(tmp_path: Path):
    """As /dev/stdout: a link to the descriptor, and a pipe or a file behind it."""
    link, out = tmp_path / "stdout", tmp_path / "out.txt"
    link.symlink_to("/proc/self/fd/1")
    piped = hwgen(*MODELS, str(link), folder=tmp_path)
    assert (piped.returncode, list(json.loads(piped.stdout))) == (0, ["models"])
    assert "m3vit-micro" in piped.stderr
    with out.open("w") as handle:
        command = [sys.executable, "-m", "hwgen", *MODELS, str(link)]
        subprocess.run(command, cwd=tmp_path, stdout=handle, stderr=subprocess.PIPE, check=True, timeout=60)
    assert list(json.loads(out.read_text())) == ["models"]
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.txt", "stdout"]


def test_pipes_devices_and_links_are_written_and_stay(tmp_path: Path):
    pipe, link, found = tmp_path / "pipe", tmp_path / "link.json", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()), daemon=True)
    reader.start()
    assert hwgen(*MODELS, "pipe", folder=tmp_path).returncode == 0
    reader.join(20)
    assert list(json.loads(found[0])) == ["models"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    (tmp_path / "far").mkdir()
    link.symlink_to("far/out.json")
    assert hwgen(*MODELS, "link.json", folder=tmp_path).returncode == 0
    assert link.is_symlink()
    assert list(json.loads((tmp_path / "far" / "out.json").read_text())) == ["models"]
    null = device(tmp_path / "null", NULL)
    assert hwgen(*MODELS, "null", folder=tmp_path).returncode == 0
    assert stat.S_ISCHR(null.stat().st_mode)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("estimate", "--board", "zcu120"), 2, "unknown board 'zcu120'; did you mean 'zcu102'"),
        (("estimate", "--board"), 2, "--board"),
        (("estimate", "--bord", "sim"), 2, "No such option"),
        (("verify", "--board", "sim", "--images", "no"), 2, "Invalid value for '--images'"),
        (("estimates",), 2, "No such command 'estimates'"),
        (("estimate", "--board", "sim"), 2, "set max_tokens >= 129"),
    ],
)
@pytest.mark.parametrize("there", ["report", "link", "nothing"])
def test_a_failure_leaves_its_message_in_place_of_an_earlier_report(
    tmp_path: Path, words: tuple[str, ...], code: int, says: str, there: str, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "out.json"
    if there == "link":
        path.symlink_to(tmp_path / "far.json")
    if there != "nothing":
        path.write_text(OLD)
    try:
        found = cli.run([*words[:1], f"--json={path}", *words[1:]])
    except SystemExit as end:
        found = end.code
    assert found == code
    assert says in json.loads(path.read_text())["error"]
    assert list(json.loads(path.read_text())) == ["error"]
    assert path.is_symlink() == (there == "link")
    assert capsys.readouterr().err != ""


def test_a_failure_is_said_on_standard_output_too(capfd: pytest.CaptureFixture[str]):
    assert cli.run(["estimate", "--board", "zcu120", "--json", "-"]) == 2
    said = capfd.readouterr()
    assert "unknown board" in json.loads(said.out)["error"]
    assert "unknown board" in said.err


def test_an_unexpected_failure_leaves_no_earlier_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "out.json"
    path.write_text(OLD)

    def burn() -> None:
        assert not path.exists()  # already when the work begins
        raise ZeroDivisionError("on fire")

    monkeypatch.setattr(lists, "model_table", burn)
    with pytest.raises(ZeroDivisionError):
        cli.run([*MODELS, str(path)])
    assert json.loads(path.read_text()) == {"error": "ZeroDivisionError: on fire"}


@pytest.mark.parametrize("contents", [b"{not JSON", b"[1, 2]", b"\0weights", b"[" * 100_000])
def test_a_failure_is_not_written_over_what_is_no_report(tmp_path: Path, contents: bytes):
    path = tmp_path / "network.bin"
    path.write_bytes(contents)
    assert cli.run(["estimate", "--board", "zcu120", "--json", str(path)]) == 2
    assert path.read_bytes() == contents


@pytest.mark.parametrize("there", [True, False])
def test_a_name_given_twice_is_refused(tmp_path: Path, there: bool, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "arch.yaml"
    if there:
        path.write_text(OLD)  # JSON is YAML, too
    assert cli.run(["estimate", "--board", "sim", f"--arch={path}", "--json", str(path)]) == 2
    assert f"--json {path}: the command line gives this name twice" in capsys.readouterr().err
    assert path.exists() == there
    assert not there or path.read_text() == OLD


def test_a_full_disk_is_named(tmp_path: Path):
    (tmp_path / "out.json").write_text("old, and no report")
    command = [sys.executable, "-m", "hwgen", *MODELS, "out.json"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, preexec_fn=small_files, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (2, "error: out.json: File too large\n")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old, and no report"]


@pytest.mark.parametrize(
    ("words", "path"),
    [
        ("models", None),
        ("models --json", None),
        ("models --json a.json", "a.json"),
        ("models --json=a=b.json", "a=b.json"),
        ("models --json a --json b", "b"),
        ("verify --picture x.png --json x.json --board zcu102", "x.json"),
    ],
)
def test_the_report_of_a_command_line(words: str, path: str | None):
    report = Report.of(words.split())
    assert report == Report(None if path is None else Path(path))
    assert not report.clash


def test_a_picture_and_a_report_have_two_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b.png").symlink_to("a.png")
    for other in ("a.png", "./a.png", "b.png"):
        assert cli.run(["verify", "--picture", other, "--json", "a.png"]) == 2
        assert "--json a.png: the command line gives this name twice" in capsys.readouterr().err
