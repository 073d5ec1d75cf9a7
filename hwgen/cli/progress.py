"""Progress of named steps on the terminal: the running step turns and counts its seconds."""

import re
import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

REFRESH_PER_SECOND = 4
PIPE_PERCENT = 10  # between two lines of one step where lines stay

_RUNNING = re.compile(r"(?P<step>.*) \.\.\.(?: (?P<percent>\d+) %)?")


class _Running:
    """The line of a running step, drawn again and again."""

    def __init__(self, line: str) -> None:
        self.line = line
        self._started = time.monotonic()
        self._spinner = Spinner("line")

    def __rich__(self) -> Spinner:
        """The line with its seconds so far."""
        self._spinner.update(text=Text(f"{self.line} {time.monotonic() - self._started:.0f} s"))
        return self._spinner


class Progress:
    """Takes the lines of `hwgen.steps.Steps`.

    A line that ends in ``...`` is a step that has begun, or in ``... 40 %`` one that runs. A terminal shows it in one
    place; elsewhere every line is printed, and one in ten percent.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._running: _Running | None = None
        self._percent = 0  # printed last, of the running step

    def __enter__(self) -> "Progress":
        """Nothing is drawn before the first line."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """A step that was running is no longer drawn."""
        self._stop()

    def __call__(self, line: str) -> None:
        """One line of progress."""
        found = _RUNNING.fullmatch(line)
        if found and found["percent"]:
            self._further(line, int(found["percent"]))
            return
        self._stop()
        self._percent = 0
        if found and self._console.is_terminal:
            self._start(line)
        else:
            self._print(line)

    def _further(self, line: str, percent: int) -> None:
        """The running step has come further."""
        if self._running is not None:
            self._running.line = line
        elif percent // PIPE_PERCENT > self._percent // PIPE_PERCENT:
            self._percent = percent
            self._print(line)

    def _start(self, line: str) -> None:
        self._running = _Running(line)
        self._live = Live(self._running, console=self._console, transient=True, refresh_per_second=REFRESH_PER_SECOND)
        self._live.start()

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
        self._live = self._running = None
