"""Messages name a command that can be carried out, whatever way hwgen was installed."""

import importlib.metadata
import shlex
import sys
import tomllib
from pathlib import Path

import pytest

from hwgen.frontend.exporters import export
from hwgen.frontend.importers.checkpoint import CheckpointError, read_checkpoint
from hwgen.process import install
from hwgen.process.install import install_hint
from hwgen.synth import SynthesisError, yosys

ROOT = Path(__file__).parents[2]
WHEEL = ["numpy>=2", 'torch==2.13.0; extra == "train"', "a>=1,<2; extra == 'synth'", 'b==3; extra == "synth"', "c==4"]


@pytest.fixture(params=["checkout", "wheel"])
def hint(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a message must say about torch."""
    pip = f"{sys.executable} -m pip install "
    if request.param == "checkout":
        return f"{pip}-e '{ROOT}[train]'"
    monkeypatch.setattr(install, "CHECKOUT", tmp_path)
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: {"hwgen": WHEEL}[name])
    return f"{pip}torch==2.13.0"


def test_the_hint(hint: str):
    assert install_hint("train") == hint
    assert shlex.split(install_hint("synth"))[4:] in (["-e", f"{ROOT}[synth]"], ["a>=1,<2", "b==3"])


def test_a_checkout_is_the_one_that_runs_and_no_other_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(install, "CHECKOUT", tmp_path)
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: WHEEL)
    for text in ("[project]\nname = 'other'\n", "[tool]\n", "{ damaged", ""):
        (tmp_path / "pyproject.toml").write_text(text)
        assert install_hint("train").endswith(" -m pip install torch==2.13.0")
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'hwgen'\n")
    assert install_hint("train").endswith(f" -m pip install -e '{tmp_path}[train]'")


def test_a_folder_with_a_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "my tools"
    folder.mkdir()
    (folder / "pyproject.toml").write_text("[project]\nname = 'hwgen'\n")
    monkeypatch.setattr(install, "CHECKOUT", folder)
    assert shlex.split(install_hint("train"))[-2:] == ["-e", f"{folder}[train]"]


def test_the_installed_metadata_names_the_same_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(install, "CHECKOUT", tmp_path)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert shlex.split(install_hint("train"))[4:] == extras["train"]


def test_messages_without_torch(hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    path = tmp_path / "net.pth"
    path.write_bytes(b"x")
    with pytest.raises(CheckpointError) as found:
        read_checkpoint(path)
    assert f"reading .pth needs torch: {hint}, or save it as .safetensors" in str(found.value)
    with pytest.raises(CheckpointError) as found:
        export.save_state(path, {}, {})
    assert f"writing .pth needs torch: {hint}, or give a name that ends in .safetensors" in str(found.value)


def test_messages_without_yosys(hint: str, monkeypatch: pytest.MonkeyPatch):
    def missing(_: str) -> str:
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(yosys, "version", missing)
    with pytest.raises(SynthesisError) as found:
        yosys.tool_version()
    assert install_hint("synth") in str(found.value)
    assert "'hwgen[" not in str(found.value)
