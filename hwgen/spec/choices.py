"""What was decided about the machine: depths of queues, waits, registers. The RTL reads them; nothing measures them.

What follows from these (latencies) is in hwgen/spec/timing.py.
"""

from typing import TYPE_CHECKING

from hwgen.spec.isa import Unit
from hwgen.spec.numerics import IMPORTANCE_BITS

if TYPE_CHECKING:
    from hwgen.spec.arch import ArchConfig

READ_LATENCY = 2  # cycles from address to data of buffers and rings (block RAM with output register)

# Start, program, end
FETCH_AHEAD = 16  # instructions that wait between fetch and dispatch
QUEUE_DEPTH = {Unit.IO: 8, Unit.COMPUTE: 4, Unit.NORM: 4}  # instructions that wait for their unit; LOAD: in the arch
GIVE_UP_CYCLES = 1 << 16  # after an error the machine waits so long for answers that the bus owes

# Memory ports
COMMANDS_AHEAD = 4  # chunks that wait for the engine of a weight port, so that it never waits for one
LOADS_UNDER_WAY = 8  # loads planned whose data has not all come
RESULT_ROWS = 64  # result rows that may be in flight: more than the pipeline from issuer to result holds

# Compute unit
BUFFER_DEPTH = 2  # what a stream buffer holds: its output register and a spare
OP_QUEUE = 4  # ops that operand loader and tile issuer may be apart
ROW_QUEUE = 4  # rows that wait for their words to be read
REFILL_CYCLES = 7  # a slot that is given back is not written for more than so many cycles

# Pipelines
ADDER_LEVELS = 2  # adder levels per register of a tree; trees of maxima have one
SHIFT_MOVES = 2  # moves per register of a normalising shift

# Tokens that leave
SEARCH_DIGIT_BITS = 2  # of the threshold that a pass over the importances finds: half the passes of single bits
SEARCH_PASSES = -(-IMPORTANCE_BITS // SEARCH_DIGIT_BITS)
ROW_SUM_LANES = 8  # multiply-accumulators of the fused row, at most; each is about 60 LUTs


def importance_lanes(arch: "ArchConfig") -> int:
    """Importances in a word of their memory: of 32 bits each they fill a word of results."""
    return arch.output_lanes // 2


def row_sum_passes(arch: "ArchConfig") -> int:
    """Times that the rows which leave are read for a word of the fused row."""
    return max(1, arch.output_lanes // ROW_SUM_LANES)
