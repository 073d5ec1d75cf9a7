"""Every file that is written: whole or not at all, through links, and into pipes and devices instead of over them.

A new file is made beside its place and renamed to it, so that a reader never meets half of one. What is no regular file
(FIFO, device node, socket) is opened and written; it is never replaced. A path that is this process's own standard
output, such as /dev/stdout, is written through that stream.
"""

import errno
import math
import os
import secrets
import select
import shutil
import socket
import stat
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

PEER_SECONDS = 60.0  # longest wait for a reader of a pipe, or for room in it
POLL_SECONDS = 0.05
CHUNK_BYTES = 1 << 20
STDOUT = Path("-")  # as the user says it
_STREAMS = (1, 2)  # descriptors of standard output and error


def is_stdout(path: Path) -> bool:
    """Whether a path is ``-``, or leads to what standard output is."""
    return path == STDOUT or _stream(path) == 1


def target(path: Path) -> Path:
    """The path that a rename must go to: links resolved; OSError names a link that leads to itself."""
    found = Path(os.path.realpath(path))
    if found.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return found


def is_special(path: Path) -> bool:
    """Whether something is there that is neither a file nor a folder: it is written, and never replaced."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def write_text(path: Path, text: str) -> None:
    """Write a text file as UTF-8; ``-`` is a file of that name. OSError names the file."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file; OSError names it."""
    with placed(path) as part:
        part.write_bytes(data)


def write_stdout(text: str) -> None:
    """Write to standard output itself, also while ``sys.stdout`` is redirected; what was printed comes first."""
    try:
        _flush()
        _send(1, text.encode(), math.inf)
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from error


@contextmanager
def placed(path: Path) -> Generator[Path]:
    """A path to write a file to (its suffix is that of ``path``); what is there at the end becomes ``path``.

    Nothing is left, and an older file stays, when the body raises. Messages of the body name ``path``.
    """
    special = _stream(path) is not None or is_special(path)
    place = path if special else target(path)
    folder = Path(tempfile.mkdtemp(prefix="hwgen-")) if special else place.parent
    part = folder / f".hwgen-{os.getpid()}-{secrets.token_hex(4)}{path.suffix}"
    try:
        yield part
        if special:
            _deliver(part, path)
        else:
            _keep_mode(part, place)
            part.replace(place)
    except Exception as error:
        raise named(error, part, path) from error.__cause__
    finally:
        part.unlink(missing_ok=True)
        if special:
            shutil.rmtree(folder, ignore_errors=True)


def named(error: Exception, part: Path, path: Path) -> Exception:
    """``error`` with ``path`` wherever it speaks of ``part``, or of no file although a file could not be written."""
    if isinstance(error, OSError):
        if type(error).__module__ != "builtins":
            return error
        about = str(path) if error.filename is None else str(error.filename).replace(str(part), str(path))
        return OSError(error.errno, error.strerror or str(error), about).with_traceback(error.__traceback__)
    error.args = tuple(arg.replace(str(part), str(path)) if isinstance(arg, str) else arg for arg in error.args)
    return error


def _keep_mode(part: Path, place: Path) -> None:
    """Permissions of the file that is about to be replaced."""
    if place.is_file():
        part.chmod(stat.S_IMODE(place.stat().st_mode))


def _stream(path: Path) -> int | None:
    """The descriptor of this process's output that ``path`` leads to, if any."""
    try:
        there = path.stat()
    except OSError:
        return None
    for stream in _STREAMS:
        try:
            if os.path.samestat(there, os.fstat(stream)):
                return stream
        except OSError:  # closed
            continue
    return None


def _deliver(part: Path, path: Path) -> None:
    """Send the contents of ``part`` into something that is no regular file."""
    stream = _stream(path)
    if stream is not None:
        _flush()
        _copy(part, stream, math.inf)  # a pager may be read for hours
    elif stat.S_ISSOCK(path.stat().st_mode):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.settimeout(PEER_SECONDS)
            peer.connect(str(path))
            peer.sendall(part.read_bytes())
    else:
        handle = _opened(path)
        try:
            _copy(part, handle, PEER_SECONDS)
        except BrokenPipeError as error:
            raise OSError(errno.EIO, "its reader is gone", str(path)) from error
        finally:
            os.close(handle)


def _opened(path: Path) -> int:
    """Open a pipe or a device for writing; OSError when a pipe has no reader for too long."""
    until = time.monotonic() + PEER_SECONDS
    while True:
        try:
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError as error:
            if error.errno != errno.ENXIO or not stat.S_ISFIFO(path.stat().st_mode):
                raise
            if time.monotonic() > until:
                text = f"a pipe that nobody has read from for {PEER_SECONDS:.0f} s; start its reader"
                raise OSError(errno.ENXIO, text, str(path)) from error
        time.sleep(POLL_SECONDS)


def _flush() -> None:
    """What was printed goes out before what is written now."""
    sys.stdout.flush()
    sys.stderr.flush()


def _copy(part: Path, handle: int, seconds: float) -> None:
    with part.open("rb") as source:
        while chunk := source.read(CHUNK_BYTES):
            _send(handle, chunk, seconds)


def _send(handle: int, data: bytes, seconds: float) -> None:
    """Write all of ``data``; OSError when nobody takes any of it for so long."""
    rest, until = memoryview(data), time.monotonic() + seconds
    while rest:
        if time.monotonic() > until:
            raise OSError(errno.ETIMEDOUT, f"nobody has read from it for {seconds:.0f} s")
        select.select((), (handle,), (), POLL_SECONDS)
        try:
            sent = os.write(handle, rest)
        except BlockingIOError:  # no room yet
            time.sleep(POLL_SECONDS)
            continue
        rest, until = rest[sent:], time.monotonic() + seconds
