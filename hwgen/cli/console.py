"""Where the commands print: results to standard output, progress, warnings and errors to standard error."""

import sys

from rich.console import Console

PLAIN_WIDTH = 120  # columns when the output is not a terminal
OUT = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
ERR = Console(stderr=True)
PROGRESS = Console(stderr=True)  # steps of a run; says nothing with --quiet


def tell(text: str) -> None:
    """A line of results, as it is."""
    OUT.print(text, markup=False, highlight=False, soft_wrap=True)


def warn(text: str) -> None:
    """A line beside the results, as it is."""
    ERR.print(text, markup=False, highlight=False, soft_wrap=True)
