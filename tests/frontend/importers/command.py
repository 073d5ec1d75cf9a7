"""``hwgen`` as a user types it."""

from hwgen.cli import main as cli


def run(words: str) -> int:
    """Exit code of a command line; every word is free of spaces."""
    try:
        return cli.guarded(lambda: cli.app(words.split()))
    except SystemExit as end:
        return int(end.code or 0)
