"""A lock that the operating system lets go of when its process ends, however it ends."""

import errno
import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

POLL_SECONDS = 0.05


def try_lock(path: Path) -> int | None:
    """A descriptor that holds an exclusive lock on the file ``path`` until it is closed; None when another has it."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        except OSError as error:
            os.close(handle)
            raise OSError(error.errno, f"cannot be locked: {error.strerror}", str(path)) from error
        try:
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except FileNotFoundError:
            pass
        os.close(handle)  # its last owner has removed it in between


@contextmanager
def locked(path: Path, seconds: float) -> Generator[None]:
    """Hold the lock ``path``, which is there only meanwhile; TimeoutError when another holds it for so long."""
    until = time.monotonic() + seconds
    while (handle := try_lock(path)) is None:
        if time.monotonic() > until:
            text = f"another process has held this lock for {seconds:.0f} s; end it, or use another folder"
            raise TimeoutError(errno.ETIMEDOUT, text, str(path))
        time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)
