"""Progress counters of the golden machine: waits that can never end, and reads that nothing guards."""

import numpy as np

from golden.machine.buffers import NEVER, Buffer, Region
from hwgen.spec.isa import Counter, ErrorCode, Opcode, Unit
from hwgen.spec.tables import Int64Array


class MachineError(Exception):
    """The machine stops: error code and index of the instruction."""

    def __init__(self, code: ErrorCode, pc: int, reason: str) -> None:
        """``reason`` says what was found."""
        super().__init__(f"{code.name} at pc {pc}: {reason}")
        self.code, self.pc, self.reason = code, pc, reason


class IllegalProgramError(MachineError):
    """A program on which real hardware would hang (watchdog) or race."""

    def __init__(self, pc: int, reason: str) -> None:
        """``reason`` says what was found."""
        super().__init__(ErrorCode.WATCHDOG, pc, f"illegal program at pc {pc}: {reason}")


class Progress:
    """Counters without wrap-around, and for every unit the counts that its waits have made sure of."""

    def __init__(self) -> None:
        """All counters at zero."""
        self.count = np.zeros(len(Counter), dtype=np.int64)
        self.known = {unit: np.zeros(len(Counter), dtype=np.int64) for unit in Unit}

    def advance(self, counter: Counter, rows: int) -> None:
        """``rows`` more rows are finished."""
        self.count[counter] += rows


class Guard:
    """The waits of one instruction; checks each of its reads."""

    def __init__(self, progress: Progress, pc: int, opcode: Opcode, unit: Unit, fields: dict[str, int]) -> None:
        """Check that the waits end, given everything before in program order."""
        self.progress, self.pc, self.opcode, self.unit = progress, pc, opcode, unit
        self.known = progress.known[unit]
        self.row_counter, self.row_base = Counter.NONE, 0
        if fields.get("wait_b"):
            counter, base = self._wait(fields["wait_b"], fields["wait_b_base"], 0)
            self.known[counter] = max(self.known[counter], base)
        if fields.get("wait_a"):
            self.row_counter, self.row_base = self._wait(fields["wait_a"], fields["wait_a_base"], fields["rows"])

    def _wait(self, code: int, base: int, rows: int) -> tuple[Counter, int]:
        """The counter and its base without wrap-around."""
        if code not in set(Counter):
            raise IllegalProgramError(self.pc, f"{self.opcode.name} waits for counter {code}, which does not exist")
        counter = Counter(code)
        count = int(self.progress.count[counter])
        ahead = (count - base + 2**15) % 2**16 - 2**15
        if ahead < rows:
            raise IllegalProgramError(
                self.pc, f"{self.opcode.name} waits for {counter.name} {base} + {rows}, which stops at {count % 2**16}"
            )
        return counter, count - ahead

    def finish(self, rows: int) -> None:
        """The last row has been read: later instructions of the unit may rely on it."""
        if self.row_counter:
            self.known[self.row_counter] = max(self.known[self.row_counter], self.row_base + rows)

    def read(self, buffer: Buffer, region: Region, *, by_row: bool = False, own_writes: bool = False) -> Int64Array:
        """Values of a tensor [rows, words * lanes]; every word must be written and waited for.

        ``by_row``: row i is read once ``wait_a`` has counted i + 1 rows. ``own_writes``: words of this unit need
        no wait (read-modify-write at the end of the same pipeline).
        """
        values, stamp = buffer.read(region)
        if np.any(stamp.unit == NEVER):
            row = int(region.rows[np.argwhere(stamp.unit == NEVER)[0, 0]])
            raise IllegalProgramError(self.pc, f"{self.opcode.name} reads {buffer.name} row {row}, never written")
        limit = self.known[stamp.counter]
        if by_row:
            counted = self.row_base + np.arange(1, len(region.rows) + 1)[:, None]
            limit = np.where(stamp.counter == self.row_counter, np.maximum(limit, counted), limit)
        early = (stamp.reached > limit) & ~(own_writes & (stamp.unit == self.unit))
        if np.any(early):
            place = tuple(np.argwhere(early)[0])
            raise IllegalProgramError(
                self.pc,
                f"{self.opcode.name} reads {buffer.name} row {int(region.rows[place[0]])} without waiting for"
                f" {Counter(int(stamp.counter[place])).name} {int(stamp.reached[place])}",
            )
        return values
