"""Figures of tensors with matplotlib, which is optional: the extra ``plots`` installs it."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hwgen.process.install import install_hint
from sim.toolchain import ToolMissing

if TYPE_CHECKING:
    from hwgen.report.tensor import Tensor

PANEL_INCHES = (4.2, 3.2)
COLOURS = "viridis"  # told apart without colour vision, and in print
SIGNED_COLOURS = "coolwarm"  # differences: zero is pale


def _figure(columns: int) -> tuple[Any, list[Any]]:
    """A figure with a row of axes that no window manager knows; ToolMissing says how to get matplotlib."""
    try:
        from hwgen.report.figure import ShownFigure
    except ImportError as error:
        raise ToolMissing(f"plots need matplotlib; install it with: {install_hint('plots')}") from error
    figure = ShownFigure(figsize=(PANEL_INCHES[0] * columns, PANEL_INCHES[1]), layout="constrained")
    axes: Any = figure.subplots(1, columns, squeeze=False)
    return figure, list(axes[0])


def _chosen(tensor: "Tensor", index: tuple[int, ...]) -> tuple[int, ...]:
    """The index that leaves rows and columns, or a vector of the image; zeros where nothing is given."""
    leading = max(len(tensor.shape) - 2, 1)
    if len(index) > leading:
        raise IndexError(f"{tensor.name} {list(tensor.shape)}: {len(index)} indices given, it takes at most {leading}")
    return (*index, *(0,) * (leading - len(index)))


def tensor_figure(tensor: "Tensor", index: tuple[int, ...] = ()) -> Any:
    """RTL beside the float model and their difference, all one matrix; beside golden, in codes, when there is no float.

    IndexError when there is no such image or head; ToolMissing without matplotlib.
    """
    at = _chosen(tensor, index)
    if tensor.float is not None and not tensor.mismatches:
        left, right, name = (tensor.rtl[at] - tensor.zero) * (tensor.scale or 1.0), tensor.float[at], "float"
    else:
        left, right, name = tensor.rtl[at], tensor.golden[at], "golden"
    figure, axes = _figure(3)
    limits = _limits(left, right)
    reach = float(np.abs(left - right).max(initial=0)) or 1.0
    _draw(figure, axes[0], left, COLOURS, limits)
    _draw(figure, axes[1], right, COLOURS, limits)
    _draw(figure, axes[2], left - right, SIGNED_COLOURS, (-reach, reach))
    for axis, title in zip(axes, ("RTL", name, f"RTL - {name}"), strict=True):
        axis.set_title(title)
    quality = "" if tensor.sqnr is None else f", {tensor.sqnr:.1f} dB"
    figure.suptitle(f"{tensor.task}: {tensor.name}{quality}, RTL and golden differ in {tensor.mismatches:,} values")
    return figure


def _limits(*panels: NDArray[Any]) -> tuple[float, float]:
    low = min(float(values.min(initial=0)) for values in panels)
    high = max(float(values.max(initial=0)) for values in panels)
    return low, max(high, low + 1e-9)


def _draw(figure: Any, axis: Any, values: NDArray[Any], colours: str, limits: tuple[float, float]) -> None:
    """A matrix as a picture, a vector as bars."""
    if values.ndim == 1:
        axis.bar(np.arange(values.size), values)
        axis.set_xlabel("index")
        return
    shown = axis.imshow(values, aspect="auto", cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    figure.colorbar(shown, ax=axis)
    axis.set_xlabel("column")
    axis.set_ylabel("row")
