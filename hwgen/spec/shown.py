"""Values in messages."""

LONGEST_SHOWN = 80  # characters


def shown(value: object) -> str:
    """A value as messages show it: its middle is left out when it is long."""
    try:
        text = repr(value)
    except ValueError:  # whole numbers of thousands of digits have no decimal text
        text = f"a {type(value).__name__} with thousands of digits"
    half = LONGEST_SHOWN // 2
    return text if len(text) <= LONGEST_SHOWN else f"{text[:half]} ... {text[-half:]}"
