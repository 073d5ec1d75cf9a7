"""The picture of a run: input, and each task's map or classes from the float model and from the RTL, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from hwgen.store.output_file import placed

U8 = NDArray[np.uint8]

PANEL_PIXELS = 256  # longer side of one panel
MARGIN = 12
CAPTION = 22  # height of a line of text
TEXT = (32, 32, 36)
# Paul Tol's bright and muted schemes: told apart by colour-blind readers too; class 0 is the background.
CLASS_COLOURS: tuple[tuple[int, int, int], ...] = (
    (221, 221, 221), (68, 119, 170), (238, 102, 119), (34, 136, 51), (204, 187, 68), (102, 204, 238),
    (170, 51, 119), (187, 187, 187), (51, 34, 136), (136, 204, 238), (68, 170, 153), (17, 119, 51),
    (153, 153, 51), (221, 204, 119), (204, 102, 119), (136, 34, 85), (170, 68, 153), (102, 37, 6),
    (0, 90, 181), (220, 50, 32),
)  # fmt: skip
BARS_PIXELS = (380, 256)  # width and height of a panel of bars
_BAR, _BESIDE = 12, 5  # heights of the two bars of a line
_BLUE, _GREY = CLASS_COLOURS[1], CLASS_COLOURS[7]
# Near is warm and bright, far is cold and dark.
_DEPTH_STOPS = np.array(
    [(254, 240, 160), (248, 150, 70), (190, 60, 90), (100, 30, 110), (25, 15, 60)], dtype=np.float64
)


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One labelled picture."""

    title: str
    pixels: U8  # [height, width, 3]
    drawn: bool = False  # has the size that it is shown in; others are scaled to PANEL_PIXELS


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A line of a list of bars."""

    label: str
    value: float  # 0..1
    beside: float  # what it is compared with


def colour_classes(labels: NDArray[Any]) -> U8:
    """Class indices [height, width] as colours; colours repeat after the last."""
    return np.array(CLASS_COLOURS, dtype=np.uint8)[np.asarray(labels) % len(CLASS_COLOURS)]


def colour_depth(depth: NDArray[Any], near: float, far: float) -> U8:
    """Depth [height, width] as colours between ``near`` and ``far``."""
    if not far > near:
        raise ValueError(f"far {far} must exceed near {near}")
    place = np.clip((np.asarray(depth, dtype=np.float64) - near) / (far - near), 0.0, 1.0) * (len(_DEPTH_STOPS) - 1)
    low = np.minimum(place.astype(np.int64), len(_DEPTH_STOPS) - 2)
    part = (place - low)[..., None]
    return np.round(_DEPTH_STOPS[low] * (1 - part) + _DEPTH_STOPS[low + 1] * part).astype(np.uint8)


def _legend(draw: ImageDraw.ImageDraw, names: tuple[str, ...], y: int, font: Any) -> None:
    x = MARGIN
    for label, name in enumerate(names):
        draw.rectangle((x, y + 3, x + 14, y + 17), fill=CLASS_COLOURS[label % len(CLASS_COLOURS)], outline=TEXT)
        draw.text((x + 20, y + 2), name, fill=TEXT, font=font)
        x += 20 + int(draw.textlength(name, font=font)) + 18


def _shortened(text: str, pixels: float, draw: ImageDraw.ImageDraw, font: Any) -> str:
    """A text that is no wider than so many pixels."""
    if draw.textlength(text, font=font) <= pixels:
        return text
    while text and draw.textlength(f"{text} ..", font=font) > pixels:
        text = text[:-1]
    return f"{text} .."


def bars(lines: Sequence[Bar]) -> U8:
    """A list of labelled bars in a picture of BARS_PIXELS: the value, below it what it is compared with."""
    width, height = BARS_PIXELS
    canvas = Image.new("RGB", (width, height), (255, 255, 255))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    step = min(height // max(len(lines), 1), 52)
    for number, line in enumerate(lines):
        y, figure = number * step, f"{line.value:.1%}"
        room = width - draw.textlength(figure, font=font) - MARGIN
        draw.text((0, y), _shortened(line.label, room, draw, font), fill=TEXT, font=font)
        draw.text((width - 1, y), figure, fill=TEXT, font=font, anchor="ra")
        top = y + 18
        for share, first, last, colour in (
            (line.value, top, top + _BAR, _BLUE),
            (line.beside, top + _BAR + 1, top + _BAR + _BESIDE, _GREY),
        ):
            draw.rectangle((0, first, max(round(share * (width - 1)), 1), last), fill=colour)
    return np.asarray(canvas, dtype=np.uint8)


def _shown(panel: Panel) -> Image.Image:
    """A panel in the size that it is shown in."""
    picture = Image.fromarray(panel.pixels)
    if panel.drawn:
        return picture
    scale = PANEL_PIXELS / max(picture.size)
    size = max(round(picture.width * scale), 1), max(round(picture.height * scale), 1)
    return picture.resize(size, Image.Resampling.NEAREST)


def compose(panels: list[Panel], class_names: tuple[str, ...] = (), footer: str = "") -> Image.Image:
    """One image of the panels in a row, with titles, a legend of the classes and a line of text."""
    if not panels:
        raise ValueError("a picture needs at least one panel")
    pictures, font = [_shown(panel) for panel in panels], ImageFont.load_default(13)
    height = max(picture.height for picture in pictures)
    width = MARGIN + sum(picture.width + MARGIN for picture in pictures)
    lines = [line for line in (bool(class_names), bool(footer)) if line]
    canvas = Image.new(
        "RGB",
        (max(width, 2 * MARGIN + int(font.getlength(footer))), CAPTION + 2 * MARGIN + height + CAPTION * len(lines)),
        (255, 255, 255),
    )
    draw, x = ImageDraw.Draw(canvas), MARGIN
    for panel, picture in zip(panels, pictures, strict=True):
        draw.text((x, 6), panel.title, fill=TEXT, font=font)
        canvas.paste(picture, (x, CAPTION + 4))
        x += picture.width + MARGIN
    y = CAPTION + MARGIN + height
    if class_names:
        _legend(draw, class_names, y, font)
        y += CAPTION
    if footer:
        draw.text((MARGIN, y + 2), footer, fill=TEXT, font=font)
    return canvas


def save(image: Image.Image, path: Path) -> None:
    """Write a PNG in one go, so that a reader never meets half a file."""
    with placed(path) as part:
        image.save(part, format="PNG", optimize=True)
