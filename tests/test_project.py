"""What holds of the project as a whole: the same checks everywhere, pinned tools, no traces of anybody's machine."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CHECKS = ["ruff check", "ruff format --check", "basedpyright", "pytest"]
# Folders of somebody's machine, hosts, and marks of unfinished work; split so that this file does not contain them.
UNWANTED = [
    "/ro" + "ot/",
    "/wo" + "rk/",
    "/op" + "t/",
    "/ho" + "me/",
    "TO" + "DO",
    "FIX" + "ME",
    "NotImplemented" + "Error",
]


def _tracked() -> list[Path]:
    """Text files of the project, as git lists them; every file where there is no git."""
    try:
        done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
        names = done.stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py") if ".venv" not in path.parts]
    paths = [ROOT / name for name in names]
    return [path for path in paths if path.is_file() and path.suffix not in (".safetensors", ".png", ".npz")]


def test_hooks_make_and_contributing_name_the_same_checks():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [hook["name"] for hook in hooks] == CHECKS
    make = (ROOT / "Makefile").read_text()
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    for check in CHECKS:
        assert re.search(rf"\.venv/bin/(python -m )?{check}", guide), check
        assert re.search(rf"\$\(BIN\)/(python -m )?{check}", make), check
        assert any(re.search(rf"\.venv/bin/(python -m )?{check}", hook["entry"]) for hook in hooks), check


def test_continuous_integration_runs_make_test():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    lines = [line for line in script.read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "set -euo pipefail"
    assert lines[-1] == "exec make test"


def test_every_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(item for extra in project["optional-dependencies"].values() for item in extra),
    ]
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())
    names = {re.sub(r"[-_.]+", "-", name).lower() for name in pins}
    missing = [name for item in wanted if (name := re.split(r"[\[<>=~ ]", item)[0].lower()) not in names]
    assert len(wanted) > 15
    assert missing == []


def test_nothing_of_a_machine_and_nothing_unfinished_is_left():
    files = _tracked()
    assert len(files) > 100
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in files
        for word in UNWANTED
        if word in path.read_text(errors="replace")
    ]
    assert found == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(name: str):
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / name).read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []
