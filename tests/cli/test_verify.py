"""verify, demo and build from the command line, with a machine that makes no mistake in place of the simulator."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from golden.reference.scenes import HELD_OUT_FIRST_SEED, draw_scene
from hwgen import pipeline
from hwgen.cli import main as cli
from hwgen.compiler.compile import Compiled, compile_model
from hwgen.driver.device import MachineError
from hwgen.frontend.store import load_model
from hwgen.spec.isa import ErrorCode
from sim.session import SimResult
from tests.perfect_machine import STAND_IN, perfect_result, without_simulator


@dataclass
class FakeMachine:
    """In place of the simulator. A wrong weight or ``faulty`` shows in one value."""

    faulty: bool = False
    stops: bool = False  # with an error code
    model: str | None = None  # file of the network; a preset when not given
    images: list[Any] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)

    def simulate(
        self, verilog: str, arch: Any, board: Any, compiled: Compiled, images: Any, tasks: Any, options: Any
    ) -> SimResult:
        """As `sim.session.simulate`."""
        assert verilog == STAND_IN
        self.images, self.tasks = images, list(tasks)
        if self.stops:
            raise MachineError(int(ErrorCode.WATCHDOG), 17, tasks[0])
        package = load_model(self.model or compiled.config.name)
        result = perfect_result(package, compiled, images, tasks)
        spoilt = not np.array_equal(compiled.image, compile_model(package, arch).image)
        if spoilt or self.faulty:
            assert result.runs[0].trace is not None
            result.runs[0].trace["post"]["data"][40, 1] ^= 8
        return result


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeMachine:
    """Replace what is slow, and work in an empty folder."""
    fake = FakeMachine()
    without_simulator(monkeypatch, fake.simulate)
    monkeypatch.chdir(tmp_path)
    return fake


def run(*words: str) -> int:
    """Exit code of a command."""
    try:
        return cli.guarded(lambda: cli.app(list(words)))
    except SystemExit as end:
        return int(end.code or 0)


def report(name: str = "out.json") -> dict[str, Any]:
    """What ``--json`` wrote."""
    return json.loads(Path(name).read_text())


VERIFY = ("verify", "--board", "sim", "--json", "out.json")


def test_a_good_run(machine: FakeMachine, capsys: pytest.CaptureFixture[str]):
    assert run(*VERIFY) == 0
    data = report()
    assert {
        "model",
        "board",
        "arch",
        "clock_mhz",
        "images",
        "cycles",
        "cycles_per_image",
        "macs",
        "mac_utilisation",
    } <= set(data)
    assert {"ddr_read_bytes", "ddr_write_bytes", "sim_seconds", "sim_cycles_per_second"} <= set(data)
    assert (data["model"], data["board"], data["arch"], data["clock_mhz"]) == ("m3vit-micro", "sim", "sim", 100)
    assert set(data["compared"]) == {"tensors", "values", "mismatches"}
    assert data["compared"]["mismatches"] == 0 < data["compared"]["values"]
    assert {"index", "name", "start_cycle", "end_cycle", "macs"} <= set(data["instructions"][0])
    assert machine.tasks == ["seg"]
    out, err = capsys.readouterr()
    assert "0 mismatches between RTL and golden" in out
    assert "] comparison (" in err


def test_scenes_tasks_and_seeds(machine: FakeMachine):
    assert run(*VERIFY, "--images", "2", "--seed", "5", "--task", "all") == 0
    assert machine.tasks == ["seg", "depth"]
    wanted = [draw_scene(HELD_OUT_FIRST_SEED + seed).image for seed in (5, 6)]
    assert all(np.array_equal(got, want) for got, want in zip(machine.images, wanted, strict=True))
    assert len(report()["passes"]) == 4


def test_an_image_of_ones_own(machine: FakeMachine):
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("mine.png")
    assert run(*VERIFY, "--image", "mine.png", "--task", "depth", "--picture", "maps.png") == 0
    assert np.array_equal(machine.images[0], pixels)
    with Image.open("maps.png") as picture:
        assert picture.width > 3 * 256


def test_a_folder_of_pictures(machine: FakeMachine, capsys: pytest.CaptureFixture[str]):
    """Every picture in the order of the names, whatever its size; --images takes the first of them."""
    Path("mine").mkdir()
    for name, size in (("c.png", (80, 40)), ("a.png", (64, 64)), ("b.jpg", (100, 200))):
        Image.new("RGB", size, (size[0], 90, 90)).save(Path("mine") / name)
    assert run(*VERIFY, "--image", "mine") == 0
    assert [round(image[..., 0].mean()) for image in machine.images] == [64, 100, 80]
    assert "2 of 3 pictures scaled to 64 x 64 pixels (width x height) and cut" in capsys.readouterr().out
    assert run(*VERIFY, "--image", "mine", "--images", "1", "--fit", "exact") == 0
    assert report()["images"] == len(machine.images) == 1
    assert "scaled" not in capsys.readouterr().out


CLASSIFIER = """
tasks:
  - {name: animal, kind: classification, classes: 7}
layers:
  - {kind: embed, height: 16, width: 16, patch: 8, dim: 48}
  - {kind: block, heads: 3, hidden: 48}
  - {kind: heads}
"""


def test_a_classifier_names_its_best_classes(machine: FakeMachine, capsys: pytest.CaptureFixture[str]):
    machine.model = "small.yaml"
    Path("small.yaml").write_text(CLASSIFIER)
    names = ["cat", "dog", "bird", "fish", "fox", "cow", "owl"]
    Path("names.txt").write_text("\n".join(names))
    words = (*VERIFY, "--model", "small.yaml", "--images", "2", "--seed", "3")
    assert run(*words, "--labels", "names.txt", "--picture", "out.png") == 0
    found = report()
    assert found["image_names"] == ["scene 3", "scene 4"]
    for answer, item in zip(found["classifications"], found["passes"], strict=True):
        assert (answer["task"], answer["image"]) == (item["task"], item["image"])
        assert [guess["name"] for guess in answer["top"]] == [names[guess["class"]] for guess in answer["top"]]
    out = capsys.readouterr().out
    best = found["classifications"][1]["top"][0]
    assert f"{best['name']}" in next(line for line in out.splitlines() if "scene 4" in line)
    with Image.open("out.png") as picture:
        assert picture.width > 256 + 380
    Path("names.txt").write_text("cat\ndog\n")
    assert run(*words, "--labels", "names.txt") == 2
    assert "--labels names.txt: 2 names, task animal of small has 7 classes" in capsys.readouterr().err


def test_a_mismatch_is_exit_code_one(machine: FakeMachine, capsys: pytest.CaptureFixture[str]):
    machine.faulty = True
    assert run(*VERIFY) == 1
    assert report()["compared"]["mismatches"] == 1
    assert "first mismatch: patch_embed[" in capsys.readouterr().out


def test_a_machine_that_stops_is_exit_code_one(machine: FakeMachine, capsys: pytest.CaptureFixture[str]):
    machine.stops = True
    assert run(*VERIFY) == 1
    assert "stopped with WATCHDOG (5) at instruction 17" in capsys.readouterr().err


def test_the_self_test_notices_the_spoilt_bit(machine: FakeMachine):
    assert run(*VERIFY, "--self-test") == 0
    assert report()["caught"] is True
    assert report()["compared"]["mismatches"] == 1


def test_a_self_test_that_notices_nothing_fails(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pipeline, "spoilt", lambda compiled: compiled)
    assert run(*VERIFY, "--self-test") == 1
    assert report()["caught"] is False


def test_the_demo_prints_the_table_and_draws_the_picture(machine: FakeMachine, capsys: pytest.CaptureFixture[str]):
    assert run("demo", "--board", "sim") == 0
    assert machine.tasks == ["seg", "depth"]
    out = capsys.readouterr().out
    assert "heads.depth" in out
    with Image.open("build/demo.png") as picture:
        assert picture.width > 5 * 256


def test_build_leaves_everything_and_works_once(machine: FakeMachine, capsys: pytest.CaptureFixture[str]):
    assert run("build", "--board", "sim", "-o", "out", "--json", "out.json") == 0
    files = set(report()["files"])
    network = {f"models/m3vit-micro/{name}" for name in ("memory.bin", "workload.json", "manifest.json", "summary.txt")}
    assert {"hwgen_accelerator.v", "run_on_board.py", "driver/hwgen/driver/device.py"} | network <= files
    before = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*")}
    assert run("build", "--board", "sim", "-o", "out") == 0
    assert {path: path.stat().st_mtime_ns for path in Path("out").rglob("*")} == before
    assert "array busy with useful work" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--image", "none.png"), "--image none.png: no such file"),
        (("--image", "text.png"), "not a readable image"),
        (("--image", "large.png", "--fit", "exact"), "80 x 40 pixels (width x height), m3vit-micro takes exactly 64"),
        (("--image", "large.png", "--fit", "squash"), "--fit squash: give crop, pad or exact"),
        (("--image", "empty"), "--image empty: no picture in this folder (.png, .jpg, .jpeg, .bmp, .webp)"),
        (("--image", "few", "--images", "2"), "--image few: holds 1 of the 2 pictures that --images asks for"),
        (("--image", "large.png", "--images", "2"), "--images asks for 2"),
        (("--labels", "text.png"), "--labels text.png: names classes of a classification task; m3vit-micro runs seg"),
        (("--task", "depht"), "m3vit-micro has the tasks seg, depth"),
        (("--model", "m3vit-tiny"), "set max_tokens >= 129"),
        (("-o", "text.png"), "text.png is a file; give a folder"),
        (("--picture", "none/x.png"), "folder none does not exist"),
        (("--picture", "out.x", "--save-tensors", "out.x"), "--save-tensors out.x: is a file that the command reads"),
        (("--image", "large.png", "--picture", "./large.png"), "--picture large.png: is a file that the command reads"),
        (("--image", "few", "--picture", "few/large.png"), "--picture few/large.png: is a file that the command"),
        (("--image", "few", "--save-tensors", "few/large.png"), "--save-tensors few/large.png: is a file that"),
        (("--arch", "bad.yaml", "--picture", "bad.yaml"), "--picture bad.yaml: is a file that the command reads"),
        (("--arch", "bad.yaml"), "token_lanse"),
    ],
)
def test_bad_input_is_exit_code_two(
    machine: FakeMachine, words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
):
    Path("text.png").write_text("no picture")
    Path("bad.yaml").write_text("base: sim\ntoken_lanse: 4\n")
    Image.new("RGB", (80, 40)).save("large.png")
    Path("empty").mkdir()
    Path("few").mkdir()
    Image.new("RGB", (80, 40)).save("few/large.png")
    before = sorted(Path().iterdir())
    assert run(*VERIFY, *words) == 2
    assert says in capsys.readouterr().err
    assert sorted(Path().iterdir()) == before, "something was left behind"
    assert machine.tasks == []


@pytest.mark.parametrize("words", [("--images", "0"), ("--seed", "-1"), ("--bord", "sim")])
def test_wrong_options_are_exit_code_two(machine: FakeMachine, words: tuple[str, ...]):
    assert run(*VERIFY, *words) == 2


def test_black_pixels_are_warned_of(machine: FakeMachine, capsys: pytest.CaptureFixture[str]):
    pixels = np.random.default_rng(1).integers(1, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("bright.png")
    pixels[:8] = 0
    Image.fromarray(pixels).save("dark.png")
    for name, count in (("bright.png", 0), ("dark.png", 1)):
        assert run(*VERIFY, "--image", name) == 0
        found = [said for said in report()["warnings"] if "pixel values are 0" in said]
        assert len(found) == count
        assert ("warning: 1 of 1 pictures: more than 2 % of the pixel" in capsys.readouterr().err) == bool(count)
    assert "12.5 %, 1,536 values" in found[0]
