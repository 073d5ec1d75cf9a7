"""The picture of a run: input, and each task's map from the float model and from the RTL, side by side."""

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
# Near is warm and bright, far is cold and dark.
_DEPTH_STOPS = np.array(
    [(254, 240, 160), (248, 150, 70), (190, 60, 90), (100, 30, 110), (25, 15, 60)], dtype=np.float64
)


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One labelled picture."""

    title: str
    pixels: U8  # [height, width, 3]


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


def compose(panels: list[Panel], class_names: tuple[str, ...] = (), footer: str = "") -> Image.Image:
    """One image of the panels in a row, with titles, a legend of the classes and a line of text."""
    if not panels:
        raise ValueError("a picture needs at least one panel")
    height, width = panels[0].pixels.shape[:2]
    scale = PANEL_PIXELS / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    lines = [line for line in (bool(class_names), bool(footer)) if line]
    canvas = Image.new(
        "RGB",
        (MARGIN + len(panels) * (size[0] + MARGIN), CAPTION + MARGIN + size[1] + MARGIN + CAPTION * len(lines)),
        (255, 255, 255),
    )
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for i, panel in enumerate(panels):
        x = MARGIN + i * (size[0] + MARGIN)
        draw.text((x, 6), panel.title, fill=TEXT, font=font)
        canvas.paste(Image.fromarray(panel.pixels).resize(size, Image.Resampling.NEAREST), (x, CAPTION + 4))
    y = CAPTION + MARGIN + size[1]
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
