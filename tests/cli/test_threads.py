"""The command line multiplies matrices in one thread, unless somebody has said another number."""

import os
import subprocess
import sys

import pytest

from hwgen.__main__ import BLAS_THREADS

CODE = """
import os, sys
from hwgen.__main__ import BLAS_THREADS, main
assert "numpy" not in sys.modules
sys.argv = ["hwgen", "--version"]
try:
    main()
except SystemExit:
    print({name: os.environ[name] for name in BLAS_THREADS})
"""


@pytest.mark.parametrize("said", [{}, dict.fromkeys(BLAS_THREADS, "3")])
def test_the_number_of_threads(said: dict[str, str]):
    clean = {name: value for name, value in os.environ.items() if name not in BLAS_THREADS}
    done = subprocess.run([sys.executable, "-c", CODE], env=clean | said, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == str(said or BLAS_THREADS)
