"""Commands that end with this process, however this process ends: also when it is killed."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from hwgen.process import supervisor

END_SECONDS = 10.0  # longest wait for a command that was ended
TICK_SECONDS = 0.5  # between two calls of who wants to know how far a command is


def run_child(
    command: Sequence[str],
    *,
    cwd: "os.PathLike[str] | str",
    seconds: float,
    output: TextIO | int | None = None,
    env: Mapping[str, str] | None = None,
    scratch: Sequence[Path] = (),
    tick: Callable[[], None] | None = None,
) -> int:
    """Run a command to its end; its exit code, negative for a signal. Output and errors both go to ``output``.

    subprocess.TimeoutExpired when it takes longer. The command, and all that it has started, end when this function
    ends. When this process is killed meanwhile, the folders ``scratch`` are removed too. ``tick`` is called now and
    then while the command runs.
    """
    theirs, ours = os.pipe()
    folders = [str(folder.resolve()) for folder in scratch]
    words = [sys.executable, "-I", "-S", str(Path(supervisor.__file__)), str(theirs), *folders, "--", *command]
    try:
        try:
            process = subprocess.Popen(
                words,
                cwd=cwd,
                env=env,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs,),
                start_new_session=True,
            )
        finally:
            os.close(theirs)
        try:
            return _wait(process, seconds, tick)
        finally:
            _end(process, ours)
    finally:
        os.close(ours)


def _wait(process: "subprocess.Popen[bytes]", seconds: float, tick: Callable[[], None] | None) -> int:
    """Exit code of a process; subprocess.TimeoutExpired when it takes longer."""
    end = time.monotonic() + seconds
    while tick is not None and (left := end - time.monotonic()) > TICK_SECONDS:
        try:
            return process.wait(min(left, TICK_SECONDS))
        except subprocess.TimeoutExpired:
            tick()
    return process.wait(max(end - time.monotonic(), 0.0))


def _end(process: "subprocess.Popen[bytes]", pipe: int) -> None:
    """End a command that still runs."""
    if process.poll() is not None:
        return
    try:
        os.write(pipe, b"x")
        process.wait(END_SECONDS)
    except (BrokenPipeError, subprocess.TimeoutExpired):
        process.kill()
        process.wait()
