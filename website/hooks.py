"""What MkDocs calls: pages made from the code join those of docs/, and drawings take the place of their comments."""

import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from website import api_page, command_page, schema_page, unit_page
from website.drawings import DRAWINGS

ROOT = Path(__file__).parents[1]
PAGES: dict[str, Callable[[], str]] = {
    "reference/commands.md": command_page.page,
    "reference/python.md": api_page.page,
    "reference/units.md": unit_page.page,
    "reference/side-car.md": schema_page.page,
}
TOP_PAGES = {"index.md": "README.md", "contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
LICENSE = "LICENSE"
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(#[^)\s]*)?\)")
_DRAWING = re.compile(r"^<!-- drawing: (\w+) -->$", re.MULTILINE)
_FLOWCHART = re.compile(r"^```mermaid\n.*?^```$", re.MULTILINE | re.DOTALL)


def _moved(match: re.Match[str]) -> str:
    """A link of a page in the root of the repository, as the site has it."""
    names = {source: target for target, source in TOP_PAGES.items()} | {LICENSE: f"{LICENSE}.txt"}
    target = names.get(match[1], posixpath.relpath(match[1], "docs") if match[1].startswith("docs/") else match[1])
    return f"]({target}{match[2] or ''})"


def top_page(name: str) -> str:
    """A page of the repository's root; its links lead to pages of the site."""
    return _LINK.sub(_moved, (ROOT / name).read_text())


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and files that do not lie in docs/."""
    made: dict[str, str] = {path: page() for path, page in PAGES.items()}
    made |= {path: top_page(name) for path, name in TOP_PAGES.items()}
    made |= schema_page.schema_files()
    made[f"{LICENSE}.txt"] = (ROOT / LICENSE).read_text()
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    return files


def drawn(markdown: str) -> str:
    """A page with its drawings; the flowchart of wires becomes a drawing, too, for a site without scripts of others."""
    markdown = _FLOWCHART.sub(lambda _: DRAWINGS["machine"](), markdown)
    return _DRAWING.sub(lambda match: DRAWINGS[match[1]](), markdown)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put drawings where a page names them."""
    return drawn(markdown)
