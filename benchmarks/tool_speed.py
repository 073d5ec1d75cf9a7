"""CPU seconds of the tool itself: ``python -m benchmarks.tool_speed`` runs it cold and warm, in a cache of its own.

Never a test: the figures are those of this machine, so compare two versions on one machine. venv and pip are not in
them. ``cold`` is the first ``hwgen demo`` of a user, ``warm`` the second ``hwgen verify`` of m3vit-tiny; the network's
first verification, in between, is ``new network``.
"""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from hwgen.store.cache import VARIABLE

DEMO = ("demo",)
VERIFY = ("verify", "--board", "zcu102", "--model", "m3vit-tiny")
RUNS = (("cold", DEMO), ("new network", VERIFY), ("warm", VERIFY))


def cpu_seconds(words: tuple[str, ...], folder: Path) -> float:
    """User and system time of a command and of all that it starts; CalledProcessError when it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "hwgen", "--quiet", *words]
    root = str(Path(__file__).parents[1])
    environment = os.environ | {VARIABLE: str(folder / "cache"), "HOME": str(folder), "PYTHONPATH": root}
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print a line a run."""
    with tempfile.TemporaryDirectory(prefix="hwgen-speed-") as name:
        for what, words in RUNS:
            print(f"{what:12} hwgen {' '.join(words):48} {cpu_seconds(words, Path(name)):6.1f} CPU s", flush=True)


if __name__ == "__main__":
    main()
