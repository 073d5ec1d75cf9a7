"""SIGINT, SIGTERM and SIGHUP: one line, nothing left behind, exit code 128 + n. Light to import."""

import os
import signal
import sys
from types import FrameType

from hwgen.cli.report_file import Report

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """A signal has asked the program to end. No Exception, so that nothing on the way out takes it for a failure."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code = 128 + number


def _handle(number: int, handler: "signal._HANDLER") -> None:
    """Set a handler, unless the caller has the signal ignored, as nohup does."""
    if signal.getsignal(number) is not signal.SIG_IGN:
        signal.signal(number, handler)


def _leave(number: int, _: FrameType | None) -> None:
    stop = Stopped(number)
    os.write(2, f"error: {stop}\n".encode())
    Report.of(sys.argv[1:]).fail(str(stop))
    os._exit(stop.exit_code)


def leave_on_signals() -> None:
    """From now on a signal ends the program at once: while modules are imported there is nothing to clean up."""
    for number in SIGNALS:
        _handle(number, _leave)


def _stop(number: int, _: FrameType | None) -> None:
    """Unwind once; then only another Ctrl-C is heard, and ends the program at once."""
    for other in SIGNALS:
        _handle(other, _leave if other == signal.SIGINT else signal.SIG_IGN)
    raise Stopped(number)


def stop_on_signals() -> None:
    """From now on a signal raises `Stopped` in the main thread."""
    for number in SIGNALS:
        _handle(number, _stop)
