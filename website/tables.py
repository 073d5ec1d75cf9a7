"""Markdown tables."""

from collections.abc import Sequence


def escaped(text: str) -> str:
    """Text for a cell: neither a new column, nor a new line, nor a tag. Code needs none of this."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with its last newline; nothing for no rows."""
    if not rows:
        return ""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
