"""The public names of hwgen, and the functions behind them, on a machine without faults that needs no simulator."""

import inspect
import pkgutil
import subprocess
import sys
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import hwgen
from golden.network import run_network
from hwgen.request import images_for, resolve
from tests.cli.test_verify import CLASSIFIER
from tests.perfect_machine import perfect_result, without_simulator

PUBLIC = [
    "Build", "BuildError", "CompileError", "Estimate", "InputError", "MachineError", "PackageError", "QuantisedModel",
    "SimulationError", "Tensor", "ToolMissing", "Verification", "__version__", "boards", "build", "estimate",
    "from_timm", "golden", "load", "models", "verify",
]  # fmt: skip
SMALL = "sim"


@pytest.fixture
def perfect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Verification without Verilog and without a simulator."""

    def simulate(_verilog: str, _arch: Any, _board: Any, compiled: Any, images: Any, tasks: Any, _options: Any) -> Any:
        name = compiled.config.name
        package = hwgen.load(name if name in hwgen.models() else f"{name}.yaml")
        return perfect_result(package, compiled, images, tasks)

    without_simulator(monkeypatch, simulate)
    monkeypatch.chdir(tmp_path)


def test_these_names_are_public():
    assert sorted(hwgen.__all__) == PUBLIC == dir(hwgen)
    for name in PUBLIC:
        assert getattr(hwgen, name) is not None, name
    with pytest.raises(AttributeError, match="module 'hwgen' has no attribute 'x'"):
        _ = hwgen.x  # pyright: ignore[reportAttributeAccessIssue]


def test_no_public_name_is_that_of_a_part():
    """Importing a part sets its name on the package, and would replace a function of that name."""
    parts = {module.name for module in pkgutil.iter_modules(hwgen.__path__)}
    assert len(parts) > 10
    assert parts & set(hwgen.__all__) == set()


@pytest.mark.parametrize("name", [name for name in PUBLIC if name != "__version__"])
def test_every_public_name_says_what_it_is(name: str):
    item = getattr(hwgen, name)
    text = inspect.getdoc(item) or ""
    assert len(text) > 40, name
    if inspect.isfunction(item):
        missing = [word for word in inspect.signature(item).parameters if word not in text and word not in SHARED]
        assert missing == []
    for member, value in vars(item).items() if inspect.isclass(item) else ():
        if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
            assert inspect.getdoc(value), f"{name}.{member}"


SHARED = ("board", "model", "arch", "weights")  # the module's own docstring explains these


def test_the_package_imports_nothing_before_it_is_asked():
    script = "import sys, hwgen; print('numpy' in sys.modules, hwgen.models()[0])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["False", hwgen.models()[0]]


def test_what_there_is():
    assert {"zcu102", "sim"} <= set(hwgen.boards())
    assert "m3vit-micro" in hwgen.models()
    package = hwgen.load("m3vit-micro")
    assert (package.config.name, package.config.int4) == ("m3vit-micro", ())
    assert len(hwgen.load("m3vit-micro", weights="experts=4").config.int4) > 0


def test_golden_is_the_golden_model():
    model = resolve(SMALL, "m3vit-micro", None).model
    (image,) = images_for(model, None, 1, 3)
    package = hwgen.load("m3vit-micro")
    want = run_network(package, image, "seg")
    for found in (hwgen.golden("m3vit-micro", image), hwgen.golden(package, image, "seg")):
        assert list(found) == list(want)
        assert all(np.array_equal(found[name], want[name]) for name in want)
    assert "heads.depth" in hwgen.golden(package, image, "depth")


def test_an_estimate_of_every_task():
    found = hwgen.estimate(SMALL, "m3vit-micro")
    assert list(found) == ["seg", "depth"]
    assert found["seg"].cycles > 10_000
    assert hwgen.estimate(SMALL, "m3vit-micro", arch="sim-3x8x16")["seg"].cycles != found["seg"].cycles


@pytest.mark.usefixtures("perfect")
def test_a_verification_gives_arrays():
    said: list[str] = []
    run = hwgen.verify(board=SMALL, model="m3vit-micro", images=2, say=said.append)
    tensor = run["blocks.1.moe"]
    assert tensor.rtl.shape == (2, 65, 64)
    assert np.array_equal(tensor.rtl, tensor.golden)
    assert run.good
    assert run.values > 400_000
    assert any("comparison" in line for line in said)
    assert Path("build").is_dir()


@pytest.mark.usefixtures("perfect")
def test_a_folder_of_pictures_and_names_of_classes(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(1, 256, (16, 16 + 8 * number, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "mine" / f"{number}.png")
    (tmp_path / "names.txt").write_text("\n".join(f"name {n}" for n in range(7)))
    Path("small.yaml").write_text(CLASSIFIER)
    run = hwgen.verify(SMALL, "small.yaml", images=tmp_path / "mine", labels=tmp_path / "names.txt")
    assert run.image_names == ("0.png", "1.png")
    answers = run.classifications()
    assert [answer.picture for answer in answers] == ["0.png", "1.png"]
    best = np.argmax(run["heads.animal"].rtl[:, 0], axis=-1)
    assert [answer.top[0].index for answer in answers] == list(best)
    assert [str(answer.top[0]) for answer in answers] == [f"name {index}" for index in best]
    with pytest.raises(hwgen.InputError, match=r"24 x 16 pixels .*, small takes exactly 16 x 16"):
        hwgen.verify(SMALL, "small.yaml", images=tmp_path / "mine", fit="exact")


@pytest.mark.usefixtures("perfect")
def test_images_are_numbers_arrays_and_files(tmp_path: Path):
    model = resolve(SMALL, "m3vit-micro", None).model
    pixels = images_for(model, None, 2, 5)
    file = tmp_path / "one.png"
    Image.fromarray(pixels[0]).save(file)
    want = hwgen.verify(SMALL, images=2, seed=5, output=tmp_path / "b")["norm"].rtl
    for images in (pixels, np.stack(pixels), iter(pixels)):
        assert np.array_equal(hwgen.verify(SMALL, images=images, output=tmp_path / "b")["norm"].rtl, want)
    for image in (pixels[0], file, str(file)):
        assert np.array_equal(hwgen.verify(SMALL, images=image, output=tmp_path / "b")["norm"].rtl, want[:1])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"images": 0}, "images = 0: give at least 1"),
        ({"images": 1001}, "images = 1001: give at least 1 and at most 1,000"),
        ({"images": repeat(np.zeros((64, 64, 3), np.uint8))}, "images holds more than 1,000"),
        ({"images": None}, "images = None: give a number, the path of a picture or a folder, or arrays"),
        ({"images": 1.5}, r"images = 1\.5: give a number"),
        ({"images": [[[1], [1, 2]]]}, r"image 0 is object\[\], m3vit-micro takes"),
        ({"seed": -1}, "seed = -1: give at least 0 and at most 900,000"),
        ({"seed": "x"}, "seed = 'x': give a whole number"),
        ({"board": None}, "board = None: give a name or a path"),
        ({"model": 5}, "model = 5: give a name or a path"),
        ({"weights": 4}, "weights = 4: give a name or a path"),
        ({"fit": None}, "fit = None: give a name"),
        ({"labels": 5}, "labels = 5: give a name"),
        ({"output": 5}, "output = 5: give a name"),
        ({"images": []}, "images holds none; give at least one"),
        (
            {"images": np.zeros((8, 8, 3), np.uint8)},
            r"image 0 is uint8\[8, 8, 3\], m3vit-micro takes uint8\[",
        ),
        ({"images": np.zeros((64, 64, 3))}, r"image 0 is float64\[64, 64, 3\]"),
        ({"images": "nothing.png"}, r"nothing\.png: no such file"),
        ({"task": "x"}, "has the tasks seg, depth"),
        ({"board": "zcu103"}, "did you mean 'zcu102'"),
        ({"model": "m3vit-micr"}, "did you mean 'm3vit-micro'"),
        ({"arch": "no.yaml"}, r"no\.yaml"),
        ({"output": "/dev/null/x"}, "/dev/null is a file"),
    ],
)
def test_what_cannot_be_used_is_refused_before_any_work(
    words: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(hwgen.InputError, match=message):
        hwgen.verify(**({"board": SMALL} | words))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("perfect")
def test_a_build_has_its_parts(tmp_path: Path):
    built = hwgen.build(SMALL, output=tmp_path / "here")
    assert built.folder == tmp_path / "here"
    assert built.verilog.startswith("module")
    assert [item.task for item in built.estimates] == ["seg", "depth"]
    assert (built.network_folder / "manifest.json").is_file()
