"""Progress counters at compile time: what every counter holds before and after each instruction."""

from dataclasses import dataclass, field

from hwgen.spec.isa import Counter

MODULUS = 2**16
LONGEST_WAIT = MODULUS // 2 - 1  # rows counted since: differences are signed


@dataclass(frozen=True, kw_only=True)
class Span:
    """Rows that one instruction finishes: ``rows`` rows from ``first_row`` on, counted from ``base``."""

    counter: Counter
    base: int  # the counter before the first of them
    rows: int
    first_row: int = 0

    def row_by_row(self, reads_from: int = 0) -> dict[str, int]:
        """``wait_a`` of an instruction whose row 0 is row ``reads_from``; nobody waits for what is not counted."""
        if self.counter is Counter.NONE:
            return {}
        return {"wait_a": self.counter, "wait_a_base": (self.base + reads_from - self.first_row) % MODULUS}

    def complete(self) -> dict[str, int]:
        """``wait_b`` of an instruction that needs every row."""
        if self.counter is Counter.NONE:
            return {}
        return {"wait_b": self.counter, "wait_b_base": (self.base + self.rows) % MODULUS}


@dataclass
class Progress:
    """The counters while a program is written."""

    values: dict[Counter, int] = field(default_factory=lambda: dict.fromkeys(Counter, 0))

    def finish(self, counter: Counter, rows: int, first_row: int = 0) -> Span:
        """Account for an instruction that finishes ``rows`` rows."""
        span = Span(counter=counter, base=self.values[counter], rows=rows, first_row=first_row)
        self.values[counter] += rows
        return span

    def latest(self, counter: Counter, rows: int, first_row: int = 0) -> Span:
        """The last ``rows`` counts, as those of the rows of a tensor, which may have been counted in parts before.

        A row that is waited for by them is complete: behind its last part, no more rows were counted than follow it.
        """
        return Span(counter=counter, base=self.values[counter] - rows, rows=rows, first_row=first_row)
