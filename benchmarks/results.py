"""The kept figures: results.json, and what is generated from it: results.md and tables of docs/figures.md, README."""

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cases import CASES
from benchmarks.figures import ESTIMATE, OTHER, WAITS, Figures
from benchmarks.published import HEADER, rows
from hwgen.store.output_file import write_text

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results.json"
MARKDOWN = FOLDER / "results.md"
README = FOLDER.parent / "README.md"
PAGE = FOLDER.parent / "docs" / "figures.md"
BEGIN, END = "<!-- python -m benchmarks -->", "<!-- end of benchmarks -->"


def load(path: Path = RESULTS) -> dict[str, Figures]:
    """Kept figures by name of the case; none when nothing is kept."""
    if not path.is_file():
        return {}
    return {item.name: item for item in (Figures(**data) for data in json.loads(path.read_text())["cases"])}


def save(found: dict[str, Figures], path: Path = RESULTS) -> None:
    """Keep figures, in the order of the cases."""
    ordered = [found[case.name].to_json() for case in CASES if case.name in found]
    write_text(path, json.dumps({"cases": ordered}, indent=1) + "\n")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: bool = True) -> str:
    """A Markdown table; the first column is text, the others are numbers or text."""
    lines = [header, ["---", *["---:" if numbers else "---"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def summary_table(found: Sequence[Figures]) -> str:
    """One line per case."""
    header = (
        "network on board",
        "cycles",
        "ms",
        "useful MACs",
        "array busy",
        "q.k and p.v",
        "DDR bytes",
        "of the least",
        "DSPs",
        "estimate",
        "simulated cycles/s",
    )
    rows = [
        (
            item.title,
            f"{item.cycles:,}",
            f"{item.milliseconds:.3f}",
            f"{item.mac_utilisation:.1%}",
            f"{item.mac_cycles / item.cycles:.1%}",
            f"{item.attention_cycles / item.cycles:.1%}",
            f"{item.ddr_read_bytes + item.ddr_write_bytes:,}",
            f"{item.ddr_ratio:.3f}",
            f"{item.dsp:,}{' (estimate)' if item.dsp_source == ESTIMATE else ''}",
            f"{item.estimate_error:+.2%}",
            f"{item.information['sim_cycles_per_second']:,.0f}",
        )
        for item in found
    ]
    return _table(header, rows)


def exposed_table(found: Sequence[Figures]) -> str:
    """Cycles in which the array does not multiply, by cause, as shares of all cycles."""
    names = (*WAITS, OTHER)
    rows = [(item.title, *(f"{item.exposed[name] / item.cycles:.2%}" for name in names)) for item in found]
    return _table(("array waits for", *names), rows)


EXPLANATION = """\
One generated scene, the first task, start to interrupt, every value compared with golden. *Useful MACs*:
multiplications of the network over what the array could do in these cycles. *q.k and p.v*: share of the cycles that
attention takes. *Of the least*: bytes moved over weights and tables once, image and result. *Estimate*: cycles of
`hwgen estimate` with the queues of this image, against the simulation. The last column depends on the computer."""


def tables(found: Sequence[Figures]) -> str:
    """Both tables with what their columns mean."""
    return f"{summary_table(found)}\n\n{exposed_table(found)}\n\n{EXPLANATION}\n"


def markdown(found: Sequence[Figures]) -> str:
    """results.md."""
    return f"# Benchmarks\n\nWritten by `python -m benchmarks` from results.json.\n\n{tables(found)}"


def _between(text: str, inside: str) -> str:
    """``text`` with other lines between the markers; ValueError when they are missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the text lacks {BEGIN} or {END}")
    return f"{before}{BEGIN}\n\n{inside}\n{END}{after}"


def with_tables(text: str, found: Sequence[Figures]) -> str:
    """The text of docs/figures.md with the tables of these figures."""
    return _between(text, tables(found))


def with_published(text: str, kept: dict[str, Figures]) -> str:
    """The text of README.md with the table of published figures beside those kept here."""
    return _between(text, _table(HEADER, rows(kept), numbers=False) + "\n")


def write(found: dict[str, Figures]) -> None:
    """results.json and everything that follows from it."""
    save(found)
    kept = load()
    write_text(MARKDOWN, markdown(list(kept.values())))
    write_text(PAGE, with_tables(PAGE.read_text(), list(kept.values())))
    write_text(README, with_published(README.read_text(), kept))
