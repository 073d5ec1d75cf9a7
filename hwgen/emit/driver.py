"""The Python driver as a folder of its own: hwgen.driver and what it imports, unchanged, and an example for PYNQ."""

import ast
from pathlib import Path

import hwgen
from hwgen.emit.templates import render
from hwgen.store.output_file import write_text

ROOT = Path(hwgen.__file__).parent
DRIVER_FOLDER = "driver"
EXAMPLE_FILE = "run_on_board.py"


def _file(module: str) -> Path | None:
    """Source of a module of hwgen, or None when the name is not a module (but perhaps something inside one)."""
    base = ROOT.joinpath(*module.split(".")[1:])
    places = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in places if path.is_file()), None)


def _imports(path: Path) -> set[str]:
    """Names below hwgen that a source imports when it runs."""
    found = set[str]()
    tree = ast.parse(path.read_text())
    unseen = {id(item) for node in ast.walk(tree) if _is_for_types(node) for item in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "hwgen"}


def _is_for_types(node: ast.AST) -> bool:
    """Whether a statement is ``if TYPE_CHECKING``, which never runs."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def sources() -> list[Path]:
    """Every file that the driver needs, packages' __init__ included, relative to the folder of hwgen's sources."""
    todo = [f"hwgen.driver.{path.stem}" for path in (ROOT / "driver").glob("*.py")] + ["hwgen.driver"]
    done = set[Path]()
    while todo:
        module = todo.pop()
        path = _file(module)
        if path is None or path in done:
            continue
        done.add(path)
        parents = module.split(".")[:-1]
        todo += [".".join(parents[: i + 1]) for i in range(len(parents))]
        todo += _imports(path)
    return sorted(path.relative_to(ROOT.parent) for path in done)


def write_driver(folder: Path, register_ip: str, clock_mhz: float) -> None:
    """Copy the driver into ``folder``/driver, and write the example beside it."""
    for path in sources():
        target = folder / DRIVER_FOLDER / path
        target.parent.mkdir(parents=True, exist_ok=True)
        write_text(target, (ROOT.parent / path).read_text())
    text = render("run_on_board.py.j2", driver=DRIVER_FOLDER, ip=register_ip, clock_mhz=f"{clock_mhz:g}")
    write_text(folder / EXAMPLE_FILE, text)
