"""Docstrings of the project as Markdown: sections become bold words, their lines a list."""

import inspect
import re

SECTIONS = ("Parameters", "Members", "Attributes", "Returns", "Raises", "Timing", "Errors", "Examples")
_SECTION = re.compile(rf"^({'|'.join(SECTIONS)})\b(?P<more>[^\n:]*):?$")
_UNDERLINE = re.compile(r"^-{3,}$")
_ITEM = re.compile(r"^[^\s:][^:]{0,60}:\s")
_COLUMNS = re.compile(r"^ +\S+ {1,}(in|out)\b")  # a table of members, aligned by spaces


def markdown(text: str | None) -> str:
    """A docstring as Markdown; empty when there is none."""
    lines = inspect.cleandoc(text or "").splitlines()
    found: list[str] = []
    inside = False  # a section whose lines are items
    for place, line in enumerate(lines):
        if _UNDERLINE.match(line):
            continue
        section = _SECTION.match(line)
        if section:
            found += ["", f"**{section[1]}**{section['more']}", ""]
            inside = True
        elif not line:
            inside = inside and _continues(lines[place + 1 :])
            found.append("")
        else:
            found += _line(line, inside)
    return "\n".join(found).strip() + "\n" if found else ""


def _continues(rest: list[str]) -> bool:
    """Whether a section goes on behind an empty line."""
    return bool(rest) and bool(_ITEM.match(rest[0])) and not rest[0].startswith(("Timing", "Equals"))


def _line(line: str, inside: bool) -> list[str]:
    if _COLUMNS.match(line):
        name, _, rest = line.strip().partition(" ")
        return [f"- `{name}` {rest.strip()}"]
    if not inside:
        return [line if line.startswith((" ", "- ", "* ")) else line.strip()]
    if _ITEM.match(line):
        name, _, rest = line.partition(":")
        return [f"- `{name}`: {rest.strip()}" if "`" not in name else f"- {line}"]
    return [f"  {line.strip()}" if not line.startswith("- ") else line]


def summary(text: str | None) -> str:
    """The first paragraph, as one line."""
    return " ".join(inspect.cleandoc(text or "").split("\n\n")[0].split())
