"""Every notebook runs from its first cell to its last, holds what it asserts, and draws something.

Those that simulate share the simulator of the sim machine, as it comes out of the cache of the tests.
"""

import shutil
from pathlib import Path

import jupytext
import matplotlib as mpl
import numpy as np
import pytest
from jupytext.cli import jupytext as command
from jupytext.config import find_jupytext_configuration_file
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from nbclient import NotebookClient

from tests.notebooks.cells import play

FOLDER = Path(__file__).parents[2] / "notebooks"
QUICK = "01_one_unit"  # needs no simulator that is compiled: it runs in a kernel
SIMULATED = ["02_a_whole_image", "03_where_the_time_goes", "04_several_tasks", "05_your_checkpoint", "06_your_test"]
KERNEL_SECONDS = 170  # for the whole notebook


def test_these_are_all():
    assert sorted(path.stem for path in FOLDER.glob("*.py")) == [QUICK, *SIMULATED]
    assert Path(find_jupytext_configuration_file(str(FOLDER)) or "").name == "jupytext.toml"


@pytest.mark.parametrize("name", SIMULATED)
def test_a_notebook_tells_the_truth(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with mpl.rc_context({"backend": "Agg"}):
        pictures = play(FOLDER / f"{name}.py")
    assert pictures
    for picture in pictures:
        pixels = np.asarray(_pixels(picture))
        assert len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0)) > 4, "a picture shows nothing"


def _pixels(picture: object) -> object:
    """A drawn figure, or a picture as it is."""
    if not isinstance(picture, Figure):
        return picture
    canvas = FigureCanvasAgg(picture)
    canvas.draw()
    return canvas.buffer_rgba()


def test_a_notebook_is_made_of_its_source_and_runs_in_a_kernel(tmp_path: Path):
    """What ``make notebooks`` opens: the pair of a source, with pictures as outputs once it has run."""
    for file in ("jupytext.toml", f"{QUICK}.py"):
        shutil.copy(FOLDER / file, tmp_path)
    source = tmp_path / f"{QUICK}.py"
    text = source.read_text()
    command(["--sync", "--quiet", "--set-kernel", "python3", str(source)])
    assert source.read_text() == text  # names of kernels stay out of it
    notebook = jupytext.read(tmp_path / f"{QUICK}.ipynb")
    assert notebook.metadata["kernelspec"]["name"] == "python3"
    NotebookClient(notebook, timeout=KERNEL_SECONDS, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert not any("<Axes" in str(output.get("data", "")) or "Text(" in str(output) for output in outputs)
