"""The site builds without a warning, fetches nothing, and has what the code declares; drawings say what is true."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import typer.main

from benchmarks.results import load
from hwgen.cli.main import app
from hwgen.emit.picture import boxes_and_arrows
from hwgen.emit.verilog import units
from tests.docs.blocks import ROOT, pages
from website import api_page
from website.docstrings import markdown
from website.drawings import DRAWINGS
from website.drawings.attention import KEY_TILES, LANES, QUERIES, entering, in_order, reordered, tiles_read
from website.drawings.experts import CHOICES, EXPERTS, changes, queues
from website.drawings.machine import PLACES, ROUTES, name_of
from website.drawings.walls import shares

FETCHED = re.compile(r"""<(?:script|link|img|iframe)[^>]*(?:src|href)=["']?(?:https?:)?//""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as ``make docs`` builds it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_it_fetches_nothing(site: Path):
    found = sorted(site.rglob("*.html"))
    assert len(found) > 20
    assert [path.name for path in found if FETCHED.search(path.read_text())] == []
    assert FETCHED.search('<script src="https://elsewhere.org/x.js">')


def test_every_document_is_in_it(site: Path):
    names = {path.stem for path in pages()} - {"README", "CONTRIBUTING"}
    assert sorted(name for name in names if not (site / f"{name}.html").is_file()) == []
    assert "make demo" in (site / "index.html").read_text()
    assert (site / "LICENSE.txt").read_text() == (ROOT / "LICENSE").read_text()


def test_the_reference_is_complete(site: Path):
    commands = (site / "reference" / "commands.html").read_text()
    names = list(typer.main.get_command(app).commands)  # pyright: ignore[reportAttributeAccessIssue]
    assert len(names) > 10
    assert [name for name in names if f"hwgen {name}<" not in commands] == []
    text = (site / "reference" / "units.html").read_text()
    classes = [unit.__name__ for _, unit in units()]
    assert len(classes) > 50
    assert [name for name in classes if f"{name}<a" not in text] == []
    schemas = sorted((site / "reference" / "schemas").glob("*.schema.json"))
    assert len(schemas) > 8
    assert all(json.loads(path.read_text())["properties"] for path in schemas)


def test_every_drawing_is_used_and_drawn(site: Path):
    text = "".join(path.read_text() for path in pages())
    used = set(re.findall(r"<!-- drawing: (\w+) -->", text)) | {"machine"}
    assert used == set(DRAWINGS)
    drawn = "".join(path.read_text() for path in site.glob("*.html"))
    assert drawn.count('<div class="drawing">') == len(re.findall(r"<!-- drawing:", text)) + text.count("```mermaid")
    assert "mermaid" not in (site / "architecture.html").read_text()


def test_the_block_diagram_has_a_place_for_every_box():
    boxes, arrows = boxes_and_arrows()
    assert {name_of(box) for box in boxes} == set(PLACES)
    assert set(ROUTES) <= {(name_of(source), name_of(target)) for source, target in arrows}


@pytest.mark.parametrize(
    ("lanes", "key_tiles", "queries"), [(LANES, KEY_TILES, QUERIES), (1, 3, 5), (3, 4, 8), (5, 5, 9)]
)
def test_the_reordered_schedule(lanes: int, key_tiles: int, queries: int):
    """Every query meets every key tile once; one query row and one key tile a step; the steps of the document."""
    work = reordered(lanes, key_tiles, queries)
    met = sorted((item.query, item.key_tile) for row in work for item in row if item)
    assert met == [(query, tile) for query in range(queries) for tile in range(key_tiles)]
    steps = len(work[0])
    assert all(len(entering(work, step)) <= 1 and len(tiles_read(work, step)) <= 1 for step in range(steps))
    ends = queries + lanes - 1
    assert steps == ends // lanes * key_tiles + ends % lanes


def test_the_plain_schedule_reads_all_rows_at_once():
    work = in_order(LANES, KEY_TILES, QUERIES)
    assert [len(entering(work, step)) for step in (0, 1, KEY_TILES)] == [LANES, 0, LANES]


def test_queues_load_every_expert_once():
    order = [expert for expert, tokens in enumerate(queues()) for _ in tokens]
    assert len(order) == 2 * len(CHOICES)
    assert changes(order) == EXPERTS < changes([expert for chosen in CHOICES for expert in chosen])


def test_shares_of_cycles_are_all_of_them():
    kept = load().values()
    assert len(kept) > 5
    for item in kept:
        assert sum(shares(item)) == pytest.approx(1)
        assert min(shares(item)) >= 0


def test_docstrings_become_lists():
    text = """Adds.

    Parameters
    ----------
    lanes: values a cycle.

    Members:
        a   in  [lanes] signed 8: rows
        b_c out 1: done,
            later

    Timing: one cycle.
    """
    wanted = ["Adds.", "**Parameters**", "- `lanes`: values a cycle.", "**Members**", "- `b_c` out 1: done,"]
    lines = markdown(text).splitlines()
    assert [line for line in wanted if line not in lines] == []
    assert lines[-1] == "Timing: one cycle."


def test_every_public_name_of_python_has_a_section():
    class Thing:
        """Holds."""

        def plot(self, size: int = 3) -> None:
            """Draws."""

    def load(name: str) -> Thing:
        """Loads a network.

        Raises
        ------
        ValueError: unknown.
        """
        raise ValueError(name)

    module = ModuleType("stub")
    for name, value in {"__all__": ["load", "Thing", "__version__"], "load": load, "Thing": Thing}.items():
        setattr(module, name, value)
    module.__version__ = "1"
    page = api_page.page(module)
    assert re.findall(r"^#{2,3} (.+)$", page, flags=re.MULTILINE) == [
        "hwgen.load",
        "hwgen.Thing",
        "Thing.plot",
        "hwgen.__version__",
    ]
    assert "load(name: str) -> Thing" in page
    assert "plot(size: int = 3) -> None" in page
    assert "- `ValueError`: unknown." in page
