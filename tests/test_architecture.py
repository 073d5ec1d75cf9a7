"""The arrows between the parts of the project, read from the import statements, and two habits of its files."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from golden.layers import FACES as GOLDEN_FACES
from golden.reference.layers import FACES as FLOAT_FACES
from hwgen.compiler.lower import FACES as LOWERINGS
from hwgen.compiler.lower.face import Face
from hwgen.frontend.exporters.dequantise import FACES as DEQUANTISERS
from hwgen.frontend.layers.formats import FACES as FORMATS
from hwgen.frontend.layers.observe import FACES as OBSERVERS
from hwgen.frontend.layers.spread import FACES as SPREADS
from hwgen.frontend.quantise import FACES as QUANTISERS
from hwgen.frontend.torch_layers import FACES as TORCH_FACES
from hwgen.frontend.torch_layers.initial import FACES as INITIAL
from hwgen.spec.isa import Opcode
from hwgen.spec.layers import KINDS

ROOT = Path(__file__).parents[1]
PACKAGES = ("hwgen", "golden", "sim", "benchmarks", "website", "tests")
LONGEST_FILE = 450  # lines
LONGEST_ELABORATE = 50
RTL = "hwgen.rtl"
ROOMS = (
    "attention",
    "control",
    "experts",
    "io",
    "layernorm",
    "load",
    "matmul",
    "memory",
    "post",
    "select",
)  # of the RTL
BELOW = ("lib", "axi")  # ... which every room may use; lib may use axi

TOP = "hwgen.*"  # the files right below hwgen: they use every part but the command line, and only that uses them
# Part -> parts of the project that it may import besides itself. A part is the longest matching prefix.
ARROWS: dict[str, set[str]] = {
    "hwgen": set(),
    "hwgen.spec": set(),
    "hwgen.process": set(),
    "hwgen.store": {"hwgen.spec"},
    "hwgen.data": set(),
    "hwgen.frontend": {"hwgen.spec", "hwgen.store", "hwgen.process", "golden", "golden.reference", "hwgen.data"},
    "hwgen.compiler": {"hwgen.spec"},
    "hwgen.estimator": {"hwgen.spec", "hwgen.compiler"},
    "hwgen.rtl": {"hwgen.spec"},
    "hwgen.emit": {
        "hwgen",
        "hwgen.spec",
        "hwgen.store",
        "hwgen.rtl",
        "hwgen.compiler",
        "hwgen.estimator",
        "hwgen.driver",
    },
    "hwgen.driver": {"hwgen.spec", "hwgen.store"},
    "hwgen.synth": {"hwgen.spec", "hwgen.store", "hwgen.process", "hwgen.estimator", "hwgen.emit"},
    "hwgen.report": {
        "hwgen.spec",
        "hwgen.store",
        "hwgen.compiler",
        "hwgen.frontend",
        "hwgen.process",
        "golden",
        "golden.reference",
        "sim",
    },
    "golden": {"hwgen.spec", "golden.layers"},
    "golden.layers": {"hwgen.spec", "golden"},
    "golden.machine": {"hwgen.spec", "golden"},
    "golden.analysis": {"hwgen.spec", "hwgen.store", "golden"},
    "golden.ivit": {"hwgen.spec", "hwgen.store", "golden", "golden.analysis"},
    "golden.reference": {"hwgen.spec"},
    "sim": {"hwgen.spec", "hwgen.store", "hwgen.process", "hwgen.compiler", "hwgen.emit", "hwgen.driver", "golden"},
}
ENTRANCES = ("hwgen", "hwgen.__main__")  # both import the rest later: when a name is used, when signals are answered
ABOVE = (TOP, "hwgen.cli", "benchmarks", "website", "tests")  # parts that may use every other, in this order
# External package -> where it may be imported.
CONFINED: dict[str, tuple[str, ...]] = {
    "torch": ("hwgen.frontend", "golden.reference", "benchmarks.digits", "tests.frontend", "tests.golden"),
    "sklearn": ("benchmarks.digits", "tests.frontend"),
    "amaranth": (
        "hwgen.rtl",
        "hwgen.emit.verilog",
        "hwgen.emit.quick_amaranth",
        "hwgen.emit.wires",
        "hwgen.emit.unit_ports",
        "tests.emit",
        "tests.rtl",
        "tests.sim",
    ),
    "timm": ("tests.frontend.zoo",),
    "torchvision": ("tests.frontend.zoo",),
    "transformers": ("tests.frontend.zoo",),
    "onnx": ("hwgen.frontend.importers.onnx_graph", "tests.frontend.zoo"),
    "cocotb": ("sim", "tests.sim"),
    "cocotbext": ("sim", "tests.sim"),
    "matplotlib": ("hwgen.report.figure", "tests.report", "tests.notebooks"),
    "platformdirs": ("hwgen.store.cache",),
    "mkdocs": ("website",),
    "pydantic": ("hwgen.store", "hwgen.frontend", "website"),
    "yaml": ("hwgen.store", "tests"),
    "safetensors": ("hwgen.store", "hwgen.frontend", "tests"),
}


def _files() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _within(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(prefix + ".")


def _part(module: str) -> str | None:
    """The part that a module belongs to, the longest prefix wins; None for what is no part of the project."""
    parts = module.split(".")
    if parts[0] == "hwgen" and len(parts) > 1 and (ROOT / "hwgen" / f"{parts[1]}.py").is_file():
        return TOP
    if len(parts) > 1 and (ROOT / Path(*parts[:2])).is_dir() and parts[0] in ("hwgen", "golden"):
        return ".".join(parts[:2])
    return parts[0] if parts[0] in PACKAGES else None


def _imports(tree: ast.AST, module: str) -> Iterator[str]:
    """Every imported module, names of ``from`` imports included (they may be modules)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            assert node.level == 0, f"{module}: relative import in line {node.lineno}"
            yield from (f"{base}.{alias.name}" for alias in node.names)


@cache
def _trees() -> list[tuple[str, ast.Module]]:
    return [(_module(path), ast.parse(path.read_text())) for path in _files()]


def _below(part: str) -> set[str]:
    """What a part above the others may use: they, and those above that come before it."""
    return {*ARROWS, *ABOVE[: ABOVE.index(part)]}


def arrow_faults(module: str, imported: str) -> str | None:
    """What is wrong with ``module`` importing ``imported``, or None."""
    top = imported.partition(".")[0]
    if top in CONFINED and not any(_within(module, place) for place in CONFINED[top]):
        return f"{module} imports {top}, which belongs in {', '.join(CONFINED[top])}"
    source, target = _part(module), _part(imported)
    if source is None:
        return None
    allowed = ARROWS[source] if source in ARROWS else _below(source)
    if target is None or target == source or target in allowed or module in ENTRANCES:
        return None
    return f"{module} imports {imported}: {source} may import {', '.join(sorted(allowed)) or 'nothing'}"


def room_fault(module: str, imported: str) -> str | None:
    """What is wrong with a module of the RTL importing another, or None.

    Core wires the rooms, the accelerator is core and control; a room knows no other room.
    """
    if not (_within(module, RTL) and _within(imported, RTL)):
        return None
    source, target = (name.split(".")[2] if name.count(".") > 1 else "" for name in (module, imported))
    allowed = {
        "accelerator": {"core", "control", *BELOW},
        "core": {*ROOMS, *BELOW},
        "lib": {"axi"},
        "axi": set[str](),
    } | {room: set(BELOW) for room in ROOMS}
    if target == source or target in allowed[source]:
        return None
    return f"{module} imports {imported}: {source} may import {', '.join(sorted(allowed[source])) or 'nothing'}"


def test_imports_follow_the_arrows():
    checked, faults = 0, set[str]()
    for module, tree in _trees():
        for imported in _imports(tree, module):
            checked += 1
            faults |= {fault for find in (arrow_faults, room_fault) if (fault := find(module, imported))}
    assert checked > 300
    assert sorted(faults) == []


def test_the_rooms_of_the_rtl_are_those_on_the_disk():
    folders = {path.parent.name for path in (ROOT / "hwgen" / "rtl").glob("*/__init__.py")}
    assert folders == {*ROOMS, *BELOW}


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("hwgen.rtl.post.gelu", "hwgen.rtl.attention.softmax.SoftmaxStatistics"),
        ("hwgen.rtl.lib.pipeline", "hwgen.rtl.memory.ring"),
        ("hwgen.rtl.axi.bus", "hwgen.rtl.lib.pipeline.delay"),
        ("hwgen.rtl.io.io_engine", "hwgen.rtl.core"),
    ],
)
def test_a_wrong_door_is_found(module: str, imported: str):
    assert room_fault(module, imported) is not None


def test_elaborate_is_a_table_of_contents():
    lengths = {
        f"{module}:{node.lineno}": (node.end_lineno or node.lineno) - node.lineno + 1
        for module, tree in _trees()
        for node in ast.walk(tree)
        if _within(module, RTL) and isinstance(node, ast.FunctionDef) and node.name == "elaborate"
    }
    assert len(lengths) > 50
    assert {place: lines for place, lines in lengths.items() if lines > LONGEST_ELABORATE} == {}


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("golden.softmax", "hwgen.rtl.attention.softmax"),
        ("hwgen.rtl.attention.softmax", "golden.softmax"),
        ("hwgen.spec.arch", "hwgen.compiler.program"),
        ("hwgen.compiler.program", "amaranth.hdl.Module"),
        ("hwgen.frontend.store", "hwgen.rtl.attention.softmax"),
        ("golden.network", "torch"),
        ("golden.network", "golden.reference.scenes.draw_scene"),
        ("hwgen.emit.c_header", "amaranth.hdl.Module"),
        ("hwgen.cli.main", "cocotb.triggers.Timer"),
        ("sim.session", "hwgen.pipeline.Pipeline"),
        ("hwgen.pipeline", "hwgen.cli.options.JsonFile"),
        ("hwgen.spec.board", "yaml"),
        ("hwgen.spec.package", "hwgen.store.packages.load_package"),
        ("hwgen.compiler.lower", "hwgen.estimator.cycles.ideal_cycles"),
    ],
)
def test_a_wrong_arrow_is_found(module: str, imported: str):
    assert arrow_faults(module, imported) is not None


def test_no_star_imports():
    stars = [
        f"{module}:{node.lineno}"
        for module, tree in _trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)
    ]
    assert stars == []


def test_every_module_says_what_it_is_for():
    silent = [module for module, tree in _trees() if tree.body and ast.get_docstring(tree) is None]
    assert silent == []


def test_files_fit_a_sitting():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in _files()}
    assert len(lengths) > 30
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE} == {}


WORLDS = {  # where every operation must be met by name, besides its own file in hwgen/spec/ops
    "golden machine": "golden/machine",
    "compiler": "hwgen/compiler",
    "RTL": "hwgen/rtl",
    "tests of the RTL": "tests/rtl",
}


@pytest.mark.parametrize("world", WORLDS)
def test_every_operation_is_in_every_world(world: str):
    text = "".join(path.read_text() for path in sorted((ROOT / WORLDS[world]).rglob("*.py")))
    missing = [opcode.name for opcode in Opcode if f"Opcode.{opcode.name}" not in text]
    assert missing == []


def test_no_world_guesses_what_an_operation_is():
    """A ``case _`` on operations is where a new one costs nothing without an error."""
    guesses = [
        f"{module}:{node.pattern.lineno}"
        for module, tree in _trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.match_case) and isinstance(node.pattern, ast.MatchAs) and node.pattern.pattern is None
        if not module.startswith("tests")
    ]
    assert guesses == []


FACES = {
    "golden": GOLDEN_FACES,
    "float reference": FLOAT_FACES,
    "compiler": LOWERINGS,
    "torch": TORCH_FACES,
}  # worlds that walk the graph: kind of layer -> face


FRONTEND_FACES = {
    "calibration": OBSERVERS,
    "dequantiser": DEQUANTISERS,
    "formats": FORMATS,
    "quantiser": QUANTISERS,
    "seeded numbers": SPREADS,
    "torch's first values": INITIAL,
}


@pytest.mark.parametrize("world", FACES)
def test_every_kind_of_layer_has_a_face_and_a_file(world: str):
    faces = FACES[world]
    assert set(faces) == set(KINDS)
    for kind, face in faces.items():
        function = face.lower if isinstance(face, Face) else face
        assert function.__module__.rpartition(".")[2] == kind.__name__.lower()
        assert kind.__module__ == f"hwgen.spec.layers.{kind.__name__.lower()}"


@pytest.mark.parametrize("world", FRONTEND_FACES)
def test_every_kind_of_layer_is_known_to(world: str):
    assert set(FRONTEND_FACES[world]) == set(KINDS)
