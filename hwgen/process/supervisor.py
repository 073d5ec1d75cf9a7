"""Runs one command and ends it when the process that asked for it ends; started as a script by `child_process`.

Arguments: a pipe's descriptor, folders, ``--``, the command. The other end of the pipe is with the asking process. A
byte in the pipe ends the command; the end of the pipe, which comes however that process dies, ends the command and
removes the folders. Standard library only, and little of it: this starts before every command.
"""

import _thread
import os
import resource
import signal
import sys

KEPT_AWAY = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the asking process decides what they mean
RESTORED = (*KEPT_AWAY, signal.SIGPIPE, signal.SIGXFSZ)
NOT_FOUND = 127  # exit code, as shells have it


def _execute(command: list[str], pipe: int) -> None:
    """The child: a group of its own, signals as a program expects them."""
    try:
        os.setpgid(0, 0)
        os.close(pipe)
        for number in RESTORED:
            signal.signal(number, signal.SIG_DFL)
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(NOT_FOUND)


def _watch(pipe: int, child: int, heard: list[bytes]) -> None:
    """End the command when the asking process says so, or says nothing more."""
    heard.append(os.read(pipe, 1))
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        return  # it has just ended


def _end_like(status: int) -> None:
    """End this process as the command has ended."""
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    sys.exit(os.WEXITSTATUS(status))


def main(words: list[str]) -> None:
    """Entry point."""
    pipe, split = int(words[0]), words.index("--")
    for number in KEPT_AWAY:
        signal.signal(number, signal.SIG_IGN)
    child = os.fork()
    if child == 0:
        _execute(words[split + 1 :], pipe)
    try:  # noqa: SIM105 (contextlib takes long to import)
        os.setpgid(child, child)
    except OSError:
        pass  # the child was faster
    heard: list[bytes] = []
    _thread.start_new_thread(_watch, (pipe, child, heard))
    status = os.waitpid(child, 0)[1]
    if heard == [b""]:
        import shutil  # here: seldom needed

        for folder in words[1:split]:
            shutil.rmtree(folder, ignore_errors=True)
    _end_like(status)


if __name__ == "__main__":
    main(sys.argv[1:])
