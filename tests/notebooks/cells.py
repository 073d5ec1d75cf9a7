"""Runs the cells of a notebook without a kernel, and keeps the pictures that a reader would see."""

import ast
from pathlib import Path
from typing import Any

import jupytext
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image


def code_cells(notebook: Path) -> list[str]:
    """Sources of the code cells of a py:percent file, in order."""
    return [cell.source for cell in jupytext.read(notebook, fmt="py:percent").cells if cell.cell_type == "code"]


def play(notebook: Path) -> list[Figure | Image.Image]:
    """Run every cell in one namespace; the figures that they leave open, and those that they end with.

    A cell that fails raises what it raised, with the notebook and the number of the code cell in the traceback.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    seen: list[Figure | Image.Image] = []
    for number, source in enumerate(code_cells(notebook)):
        shown = _run(source, f"{notebook.name}, code cell {number}", names)
        figures = [plt.figure(index) for index in plt.get_fignums()]
        plt.close("all")
        seen += figures
        if isinstance(shown, Figure | Image.Image) and shown not in figures:
            seen.append(shown)
    return seen


def _run(source: str, place: str, names: dict[str, Any]) -> object:
    """The value of the cell's last expression; None when it ends with a statement."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, place, "exec"), names)
    return eval(compile(ast.Expression(last.value), place, "eval"), names) if isinstance(last, ast.Expr) else None
