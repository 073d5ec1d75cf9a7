"""Values and names in messages."""

import difflib
from collections.abc import Iterable

LONGEST_SHOWN = 80  # characters


def shown(value: object) -> str:
    """A value as messages show it: its middle is left out when it is long."""
    try:
        text = repr(value)
    except ValueError:  # whole numbers of thousands of digits have no decimal text
        text = f"a {type(value).__name__} with thousands of digits"
    half = LONGEST_SHOWN // 2
    return text if len(text) <= LONGEST_SHOWN else f"{text[:half]} ... {text[-half:]}"


def nearest(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the closest known name, and the list of all."""
    names = list(known)
    near = difflib.get_close_matches(name[:LONGEST_SHOWN], names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{hint} (known: {', '.join(names)})"
