"""Commands of the documents: lines of indented blocks and of shell fences, and why some are not run."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAMS = ("hwgen", "make", "python", "python3", "pip", "pytest", "printf", "vivado", "git", "jupyter")
SHELL = ("sh", "console", "bash")
_REASON = re.compile(r"^\s*<!-- not run: (.+) -->$")
_FENCE = re.compile(r"^\s*```(\w*)$")
_INDENTED = re.compile(r"^ {4,}(\S.*)$")
_FILE = re.compile(r"^ {4,}# ([\w.-]+\.yaml)\b")


@dataclass(frozen=True)
class Command:
    """One line that a reader would type."""

    page: str  # path from the root of the repository
    line: int
    text: str
    reason: str | None = None  # why nobody runs it here

    def __str__(self) -> str:
        """For the names of tests."""
        return f"{self.page}:{self.line} {self.text}"


def pages() -> list[Path]:
    """Every document."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def _is_command(words: str) -> bool:
    first = words.split()[0].removeprefix(".venv/bin/")
    return first in PROGRAMS


def commands(path: Path) -> list[Command]:
    """Every command of a document, in order; a reason holds for the block that follows it."""
    found: list[Command] = []
    reason, used, fence = None, False, None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        said, edge = _REASON.match(line), _FENCE.match(line)
        if edge:
            fence = None if fence is not None else edge[1]
            continue
        if said:
            reason, used = said[1], False
            continue
        inside = fence in SHELL if fence is not None else bool(_INDENTED.match(line))
        words = line.strip()
        if inside and words and _is_command(words):
            found.append(Command(str(path.relative_to(ROOT)), number, words, reason))
            used = True
        elif (used and not line.startswith("    ")) or (reason and words and not inside):
            reason, used = None, False
    return found


def fenced(path: Path, language: str) -> list[tuple[str, str | None]]:
    """The fenced blocks of a language, each with the reason why it is not run, if there is one in front of it."""
    block = rf"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n\n)?```{language}\n(?P<text>.*?)^```$"
    found = re.finditer(block, path.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [(match["text"], match["reason"]) for match in found]


def yaml_files(path: Path) -> dict[str, str]:
    """Files that a document shows: indented blocks whose first line is a comment with the file's name."""
    found: dict[str, list[str]] = {}
    name = None
    for line in path.read_text().splitlines():
        start = _FILE.match(line)
        if start:
            name = start[1]
            found[name] = []
        if name and (not line.strip() or not line.startswith("    ")):
            name = None
        if name:
            found[name].append(line[4:])
    return {name: "\n".join(lines) + "\n" for name, lines in found.items()}
