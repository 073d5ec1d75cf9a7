"""Every command in README.md, CONTRIBUTING.md and docs/ is run, or says why not.

The simulator is replaced by a machine that makes no mistake: what the real one computes is what tests/system,
tests/cli/test_simulation.py and the benchmarks are for. Everything else is what a reader's command line does.
"""

import json
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hwgen.cli import main as cli
from hwgen.store.report_schema import REPORTS, Verify, undeclared
from hwgen.store.sidecar_schema import SideCar
from tests.docs.blocks import ROOT, Command, commands, fenced, pages, yaml_files
from tests.docs.fake_machine import DocumentsMachine, install
from tests.frontend.importers import made
from tests.frontend.importers.made import save_hf, save_pth, timm_state

REASONS = {  # why a command is not run, word by word; a new one is a decision
    "sets up .venv and runs this suite",
    "they set up .venv, and the second is the test suite itself",
    "sets up .venv; the tests run what it calls, hwgen doctor and hwgen demo",
    "is this suite",
    "runs a simulator; tests/sim/test_own_tests.py does the same",
    "a part of the file above; tests/sim/test_own_tests.py runs it",
    "tests/sim/test_own_tests.py runs it",
    "is for the test of your own",
    "opens a browser",
    "opens a browser; tests/notebooks runs every cell",
    "needs Vivado",
    "needs a board",
    "needs your framework; tests/frontend/importers/test_expect.py does the same",
    "needs torch's exporter; tests/frontend/zoo/test_onnx.py does the same",
    "synthesis of a whole machine takes long",
    "writes a waveform of some gigabytes",
}
INLINE = re.compile(r"`hwgen ([a-z][a-z-]*)([^`]*)`")
MADE_BY_PAGES = (".yaml", "nets/")  # files that an earlier command of a page makes
CLASSES = 10  # of the checkpoint
LEAST_COMMANDS = 30  # that are run
LEAST_BLOCKS = 3  # of Python


def _readers_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the documents take for granted in the reader's folder."""
    rng = np.random.default_rng(1)
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save("mine.png")
    photos = Path("photos")
    photos.mkdir()
    for index in range(3):
        Image.fromarray(rng.integers(0, 256, (48, 40, 3), dtype=np.uint8)).save(photos / f"{index}.png")
    Path("names.txt").write_text("".join(f"class {index}\n" for index in range(CLASSES)))
    for index in range(CLASSES):
        folder = Path("labelled") / str(index)
        folder.mkdir(parents=True)
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(folder / "1.png")
    monkeypatch.setattr(made, "DIM", 64)  # one head of the usual size
    save_pth(timm_state(2, classes=CLASSES), "checkpoint.pth")
    save_hf(timm_state(3, classes=CLASSES), Path("hf-vit"))


def _hwgen(words: list[str]) -> int:
    try:
        return cli.run(words)
    except SystemExit as end:
        return int(end.code or 0)


def _run(command: Command) -> None:
    words = shlex.split(command.text, comments=True)
    program = words[0].removeprefix(".venv/bin/")
    if program == "hwgen":
        assert _hwgen(words[1:]) == 0, command
    elif program == "pytest":
        assert all((ROOT / word).exists() for word in words[1:] if not word.startswith("-")), command
    elif program == "printf":
        subprocess.run(command.text, shell=True, check=True, timeout=60)
    else:
        pytest.fail(f"{command}: nobody runs {program}; run it here or write <!-- not run: why -->")


@pytest.fixture(scope="module")
def done() -> set[str]:
    """Commands of earlier pages that need nothing of their page."""
    return set()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> DocumentsMachine:
    """A perfect machine, and a folder as a reader has it."""
    monkeypatch.chdir(tmp_path)
    _readers_files(monkeypatch)
    return install(monkeypatch)


WITH_COMMANDS = [path for path in pages() if commands(path) or fenced(path, "python")]


@pytest.mark.parametrize("path", WITH_COMMANDS, ids=lambda path: path.stem)
def test_commands_run(path: Path, machine: DocumentsMachine, done: set[str]) -> None:
    for name, text in yaml_files(path).items():
        Path(name).write_text(text)
    simulated = 0  # what must have gone through the machine
    for command in commands(path):
        words = shlex.join(shlex.split(command.text, comments=True))
        own = any(mark in words for mark in MADE_BY_PAGES)
        if command.reason is None and (own or words not in done):
            _run(command)
            done.add(words)
            simulated += words.startswith(("hwgen verify", "hwgen demo"))
    for block, reason in fenced(path, "python"):
        if reason is None:
            exec(compile(block, str(path), "exec"), {})
            simulated += block.count("hwgen.verify(")
    assert machine.runs >= simulated


def test_no_command_is_passed_over() -> None:
    found = [command for path in pages() for command in commands(path)]
    blocks = [block for path in pages() for block in fenced(path, "python")]
    assert {command.reason for command in found} | {reason for _, reason in blocks} == REASONS | {None}
    assert sum(reason is None for _, reason in blocks) >= LEAST_BLOCKS
    assert sum(command.reason is None for command in found) >= LEAST_COMMANDS


def test_commands_inside_sentences_exist() -> None:
    """Their names, and the options that stand with them."""
    group = cli.typer.main.get_command(cli.app)
    known: dict[str, set[str]] = {
        name: {word for item in command.params for word in (*item.opts, *item.secondary_opts)}
        for name, command in group.commands.items()  # pyright: ignore[reportAttributeAccessIssue]
    }
    checked, wrong = 0, list[str]()
    for path in pages():
        for name, rest in INLINE.findall(path.read_text()):
            options = set(re.findall(r"(?<!\S)--[a-z-]+", rest)) - {"--help"}
            checked += 1
            if name not in known or options - known[name]:
                wrong.append(f"{path.name}: hwgen {name} {sorted(options)}")
    assert checked > 15
    assert wrong == []


def test_a_build_has_the_files_that_the_tutorial_names(machine: DocumentsMachine) -> None:
    """And its side-car is what is declared."""
    assert _hwgen(["build", "--board", "sim", "-o", "out", "--json", "build.json"]) == 0
    rows = re.findall(r"^\| (`.+?) \|", (ROOT / "docs" / "tutorial.md").read_text(), flags=re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert len(names) == 11
    assert [name for name in names if not (Path("out") / name).exists()] == []
    SideCar.model_validate_json((Path("out") / "hwgen_accelerator.json").read_text())
    assert undeclared(REPORTS["build"].model_validate_json(Path("build.json").read_text())) == []


@pytest.mark.parametrize(
    "words",
    [
        "doctor",
        "models",
        "boards",
        "estimate --board sim --model m3vit-micro",
        "verify --board sim --self-test",
        "evaluate --board sim --scenes 1 --rtl-scenes 1",
        "quantize m3vit-micro --calib photos --calib-images 1 --weights experts=4 -o q",
        "export m3vit-micro -o e.safetensors",
    ],
    ids=lambda words: words.split()[0],
)
def test_reports_are_what_is_declared(words: str, machine: DocumentsMachine) -> None:
    assert _hwgen([*words.split(), "--json", "out.json"]) == 0
    text = Path("out.json").read_text()
    assert json.loads(text)
    assert undeclared(REPORTS[words.split()[0]].model_validate_json(text)) == []


def test_the_table_of_the_demo_is_what_it_prints(machine: DocumentsMachine, capsys: pytest.CaptureFixture[str]) -> None:
    """Line by line, blanks aside."""
    assert _hwgen(["demo"]) == 0
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    page = (ROOT / "docs" / "figures.md").read_text()
    kept = page.partition("<!-- hwgen demo -->\n```text\n")[2].partition("```")[0]
    lines = [line.split() for line in kept.splitlines() if line.strip(" ─")]
    assert len(lines) > 100
    assert [line for line in lines if line not in printed] == []
    readme = (ROOT / "README.md").read_text().partition("```text\n")[2].partition("```")[0]
    short = [line.split() for line in readme.splitlines() if line.strip(" ─.")]
    assert len(short) > 5
    assert [line for line in short if line not in printed] == []


def test_reports_of_a_classifier_are_what_is_declared(machine: DocumentsMachine) -> None:
    """On class folders, and on a folder of pictures with names of classes."""
    words = "import timm checkpoint.pth --name my-vit --mean imagenet --std imagenet -o nets"
    assert _hwgen(words.split()) == 0
    network = "nets/my-vit.safetensors"
    assert _hwgen(f"evaluate {network} --data labelled --rtl-images 1 --board sim --json data.json".split()) == 0
    data = REPORTS["evaluate_data"].model_validate_json(Path("data.json").read_text())
    assert undeclared(data) == []
    words = f"verify --board sim --model {network} --image photos --labels names.txt --json run.json"
    assert _hwgen(words.split()) == 0
    found = Verify.model_validate_json(Path("run.json").read_text())
    assert undeclared(found) == []
    assert [len(answer.top) for answer in found.classifications] == [5, 5, 5]
