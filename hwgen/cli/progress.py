"""Progress of named steps on the terminal: the running step turns and counts its seconds."""

import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

REFRESH_PER_SECOND = 4


class _Running:
    """The line of a running step, drawn again and again."""

    def __init__(self, line: str) -> None:
        self._line, self._started = line, time.monotonic()
        self._spinner = Spinner("line")

    def __rich__(self) -> Spinner:
        """The line with its seconds so far."""
        self._spinner.update(text=Text(f"{self._line} {time.monotonic() - self._started:.0f} s"))
        return self._spinner


class Progress:
    """Takes the lines of `hwgen.steps.Steps`; a line that ends in ``...`` is a step that has begun."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None

    def __enter__(self) -> "Progress":
        """Nothing is drawn before the first line."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """A step that was running is no longer drawn."""
        self._stop()

    def __call__(self, line: str) -> None:
        """One line of progress."""
        self._stop()
        if line.endswith("...") and self._console.is_terminal:
            running = _Running(line)
            self._live = Live(running, console=self._console, transient=True, refresh_per_second=REFRESH_PER_SECOND)
            self._live.start()
        else:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
