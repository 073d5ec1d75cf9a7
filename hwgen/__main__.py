"""Entry point of ``hwgen``: answers signals before the rest of the program, some seconds of imports, is there."""

import os

from hwgen.cli.signals import leave_on_signals

# Who multiplies matrices for NumPy, and how many threads it starts unless somebody has said another number. Those of a
# network are small: a second thread waits for the first one most of the time, and waits by turning round.
BLAS_THREADS = {"OPENBLAS_NUM_THREADS": "1"}


def main() -> None:
    """Run the command line."""
    leave_on_signals()
    for name, threads in BLAS_THREADS.items():
        os.environ.setdefault(name, threads)  # NumPy reads it when it is imported, also that of the simulator
    from hwgen.cli.main import main as run  # here: only now are signals answered

    run()


if __name__ == "__main__":
    main()
