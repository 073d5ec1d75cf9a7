"""The page of the Python API: every public name of ``hwgen`` with its signature as it is written, and its docstring."""

import ast
import inspect
import textwrap
from types import ModuleType
from typing import Any

import hwgen
from hwgen import api
from website.docstrings import markdown, summary
from website.tables import escaped, table

LONGEST = 100  # characters of a signature on one line
INTRODUCTION = """\
# Python

    import hwgen

What the command line does, from Python. The names below are all that is public.
"""


def _source(item: Any) -> tuple[ast.FunctionDef | ast.ClassDef, list[str]]:
    """The definition of a function or class, and its lines."""
    text = textwrap.dedent(inspect.getsource(item))
    (node,) = ast.parse(text).body
    assert isinstance(node, ast.FunctionDef | ast.ClassDef)
    return node, text.splitlines()


def _signature(item: Any) -> str:
    """``name(...) -> ...`` as Python, one parameter a line when it is long."""
    node, _ = _source(item)
    assert isinstance(node, ast.FunctionDef)
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    parts = [part for part in _parameters(node.args) if part not in ("self", "cls")]
    line = f"{node.name}({', '.join(parts)}){result}"
    if len(line) > LONGEST:
        line = f"{node.name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){result}"
    return f"```python\n{line}\n```\n"


def _parameters(given: ast.arguments) -> list[str]:
    """Parameters one by one, the star before those that must be named included."""
    plain: list[ast.expr | None] = [None] * (len(given.args) - len(given.defaults)) + [*given.defaults]
    found = [_parameter(*pair) for pair in zip(given.args, plain, strict=True)]
    if given.vararg:
        found.append(f"*{ast.unparse(given.vararg)}")
    elif given.kwonlyargs:
        found.append("*")
    return found + [_parameter(*pair) for pair in zip(given.kwonlyargs, given.kw_defaults, strict=True)]


def _parameter(argument: ast.arg, default: ast.expr | None) -> str:
    return ast.unparse(argument) + (f" = {ast.unparse(default)}" if default is not None else "")


def _fields(kind: type) -> str:
    """Public fields of a record, with the comment behind each."""
    node, lines = _source(kind)
    rows = [
        (f"`{item.target.id}`", f"`{ast.unparse(item.annotation)}`", escaped(lines[item.lineno - 1].partition("# ")[2]))
        for item in node.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.target.id[0] != "_"
    ]
    return table(("field", "type", ""), rows)


def _properties(kind: type) -> str:
    named = [(name, item) for name, item in vars(kind).items() if not name.startswith("_")]
    rows = [
        (f"`{name}`", escaped(summary(item.__doc__)))
        for name, item in named
        if isinstance(item, property) or type(item).__name__ == "cached_property"
    ]
    return table(("property", "meaning"), rows)


def _methods(kind: type) -> list[tuple[str, Any]]:
    return [(name, item) for name, item in vars(kind).items() if not name.startswith("_") and inspect.isfunction(item)]


def _class(name: str, kind: type) -> str:
    parts = [f"## hwgen.{name}\n", markdown(kind.__doc__)]
    if not issubclass(kind, Exception):
        fields = "" if "Members" in (kind.__doc__ or "") else _fields(kind)
        parts += [part for part in (fields, _properties(kind)) if part]
        for method, item in _methods(kind):
            parts += [f"### {name}.{method}\n", _signature(item), markdown(item.__doc__)]
    return "\n".join(parts)


def _entry(name: str, item: Any) -> str:
    if isinstance(item, ModuleType):
        return f"## hwgen.{name}\n\n{markdown(item.__doc__)}"
    if isinstance(item, type):
        return _class(name, item)
    if inspect.isfunction(item):
        return f"## hwgen.{name}\n\n{_signature(item)}\n{markdown(item.__doc__)}"
    return f"## hwgen.{name}\n\n`{item!r}`\n"


def _aliases() -> str:
    """Names of types in the signatures, as they are defined."""
    lines = inspect.getsource(api).splitlines()
    found = [
        lines[node.lineno - 1]
        for node in ast.parse(inspect.getsource(api)).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id[0].isupper()
    ]
    return "```python\n" + "\n".join(found) + "\n```\n"


def _place(item: Any) -> int:
    """Functions first, then what they return, then errors, then the rest."""
    if inspect.isfunction(item):
        return 0
    return (2 if issubclass(item, Exception) else 1) if isinstance(item, type) else 3


def page(module: ModuleType = hwgen) -> str:
    """The page, Markdown."""
    named = [(name, getattr(module, name)) for name in module.__all__]
    shared = markdown(inspect.cleandoc(api.__doc__ or "").partition("\n\n")[2])
    return "\n".join(
        [INTRODUCTION, shared, _aliases(), *(_entry(*pair) for pair in sorted(named, key=lambda pair: _place(pair[1])))]
    )
