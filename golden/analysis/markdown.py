"""Tables of measured figures in a document: written between two comments, so that a test can write them again."""

import re
from collections.abc import Sequence

END = "<!-- end -->"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines) + "\n"


def rewritten(text: str, command: str, tables: str) -> str:
    """``text`` with other tables between ``<!-- command -->`` and ``<!-- end -->``; ValueError unless there is one."""
    fence = re.compile(rf"(<!-- {re.escape(command)} -->\n).*?({re.escape(END)})", re.DOTALL)
    new, count = fence.subn(lambda match: f"{match[1]}\n{tables}\n{match[2]}", text)
    if count != 1:
        raise ValueError(f"expected one <!-- {command} --> ... {END}, found {count}")
    return new
