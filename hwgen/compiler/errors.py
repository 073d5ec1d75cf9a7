"""What the compiler raises."""


class CompileError(ValueError):
    """A network that does not fit the machine; one line per thing that does not fit, with figures and a fix."""
