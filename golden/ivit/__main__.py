"""Print the error tables, or write them into a document: ``python -m golden.ivit [docs/numerics.md]``."""

import sys
from pathlib import Path

from golden.ivit.errors import error_tables, regenerate
from hwgen.store.output_file import write_text


def main() -> None:
    """Entry point."""
    if len(sys.argv) == 1:
        print(error_tables().strip())
    for name in sys.argv[1:]:
        path = Path(name)
        write_text(path, regenerate(path.read_text()))


if __name__ == "__main__":
    main()
