"""A sheet to draw on, as inline SVG: colours come from docs/style.css, so that drawings follow the page."""

from collections.abc import Sequence
from html import escape
from typing import Literal

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]
HEAD = 7.0  # length of an arrow's head
LINE = 1.2


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


class Sheet:
    """Shapes in pixels from the top left corner; classes name colours."""

    def __init__(self, width: float, height: float, title: str) -> None:
        self.width, self.height, self._title = width, height, title
        self._parts: list[str] = []

    def box(self, at: Point, size: Point, kind: str = "box", radius: float = 4) -> None:
        """A rectangle."""
        (x, y), (width, height) = at, size
        place = f'x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"'
        self._parts.append(f'<rect class="{kind}" {place} rx="{_n(radius)}"/>')

    def cylinder(self, at: Point, size: Point, words: str, font: float = 12) -> None:
        """A memory with its name."""
        (x, y), (width, height) = at, size
        depth = 5.0
        right, bend = x + width, f"{_n(width / 2)} {_n(depth)} 0 0"
        sides = f"M {_n(x)} {_n(y + depth)} A {bend} 1 {_n(right)} {_n(y + depth)} V {_n(y + height - depth)} "
        path = f"{sides}A {bend} 1 {_n(x)} {_n(y + height - depth)} Z"
        rim = f"M {_n(x)} {_n(y + depth)} A {bend} 0 {_n(right)} {_n(y + depth)}"
        self._parts.append(f'<path class="memory line" d="{path}"/><path class="line" d="{rim}" fill="none"/>')
        self.text((x + width / 2, y + height / 2 + font * 0.35 + depth * 0.6), words, "", font)

    def text(self, at: Point, words: str, kind: str = "", size: float = 13, anchor: Anchor = "middle") -> None:
        """A line of text on the base line ``at``."""
        style = f'font-size="{_n(size)}" text-anchor="{anchor}"'
        self._parts.append(f'<text class="{kind}" x="{_n(at[0])}" y="{_n(at[1])}" {style}>{escape(words)}</text>')

    def labelled(self, at: Point, size: Point, words: str, kind: str = "box", font: float = 13) -> None:
        """A box with its text, a line for each one of ``words``."""
        self.box(at, size, kind)
        lines = words.split("\n")
        middle, ink = at[1] + size[1] / 2 + font * 0.35, "" if kind in ("box", "none") else "on"
        for place, line in enumerate(lines):
            self.text((at[0] + size[0] / 2, middle + (place - (len(lines) - 1) / 2) * font * 1.25), line, ink, font)

    def lines(self, points: Sequence[Point], kind: str = "line") -> None:
        """A line through points."""
        path = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
        self._parts.append(f'<polyline class="{kind}" points="{path}" fill="none" stroke-width="{LINE}"/>')

    def arrow(self, points: Sequence[Point], dotted: bool = False) -> None:
        """A line through points with a head at the last one."""
        (x0, y0), (x1, y1) = points[-2:]
        length = max(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5, 1e-9)
        dx, dy = (x1 - x0) / length, (y1 - y0) / length
        neck = (x1 - HEAD * dx, y1 - HEAD * dy)
        path = " ".join(f"{_n(x)},{_n(y)}" for x, y in [*points[:-1], neck])
        dash = ' stroke-dasharray="4 3"' if dotted else ""
        self._parts.append(f'<polyline class="line" points="{path}" fill="none" stroke-width="{LINE}"{dash}/>')
        wing = HEAD * 0.45
        head = [(x1, y1), (neck[0] - wing * dy, neck[1] + wing * dx), (neck[0] + wing * dy, neck[1] - wing * dx)]
        self._parts.append(f'<polygon class="head" points="{" ".join(f"{_n(x)},{_n(y)}" for x, y in head)}"/>')

    def dot(self, at: Point, radius: float = 3, kind: str = "one") -> None:
        """A filled circle."""
        self._parts.append(f'<circle class="{kind}" cx="{_n(at[0])}" cy="{_n(at[1])}" r="{_n(radius)}"/>')

    def html(self) -> str:
        """A block that Markdown leaves as it is."""
        size = f'viewBox="0 0 {_n(self.width)} {_n(self.height)}" width="{_n(self.width)}"'
        inside = "\n".join([f"<title>{escape(self._title)}</title>", *self._parts])
        head = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size}>'
        return f'<div class="drawing">\n{head}\n{inside}\n</svg>\n</div>'
