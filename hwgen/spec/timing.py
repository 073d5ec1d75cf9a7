"""How many cycles the units of the machine take: what the estimate calculates with, and what a test asks the RTL.

Fixed figures are constants, figures that depend on the machine are functions of it. Nothing here is fitted to a run.
"""

from hwgen.spec.arch import ArchConfig

# Memories and progress
READ_LATENCY = 2  # address to data of every buffer and ring
SCOREBOARD_LATENCY = 1  # report of a finished row to the counters
RING_WRITE_LATENCY = 2  # last beat of a word to ``arrived``
RING_RELEASE_LATENCY = READ_LATENCY + 1  # release to free space

# Start, program, end
START_LATENCY = 6  # accepted start to the first request of the program
END_LATENCY = 2  # last unit idle to the interrupt
FETCH_LATENCY = 5  # second beat of an instruction to the dispatcher
GIVE_UP_CYCLES = 1 << 16  # after an error the machine waits so long for answers that the bus owes
REPORT_CYCLES = GIVE_UP_CYCLES + 6  # a watchdog that expires to the interrupt, at most
FETCH_AHEAD = 16  # instructions that wait there
DISPATCH_LATENCY = 2  # through an empty queue; 0 for loads
IO_QUEUE, COMPUTE_QUEUE, NORM_QUEUE = 8, 4, 4  # instructions that wait for their unit

# Memory ports
COMMAND_LATENCY = 2  # command to address of a read engine
BURST_INTERVAL = 2  # burst to burst of one transfer, and last beat to the burst that waited for it
COMMANDS_AHEAD = 4  # chunks that wait for the engine of a weight port
MUX_LATENCY = 1  # program and IO share a port
CHUNK_INTERVAL = 3  # chunk to chunk of the weight loader's planner
LOAD_LATENCY = 2  # queued load to its start; one less for a load that waits for a counter
LOAD_OVERHEAD = 5  # of a load, besides a cycle per port and the chunks
IO_OVERHEAD = 3  # of an IO instruction
POSITION_WRITE_LATENCY = 1
PATCH_WRITE_LATENCY = 2
RESULT_ROWS = 64  # words of results on their way to the result FIFO

# Compute unit
BUFFER_LATENCY = 1  # registers before and behind the op expander
BUFFER_DEPTH = 2  # ... and what they hold
OP_QUEUE = 4  # ops that operand loader and tile issuer may be apart
ROW_QUEUE = 4  # rows that wait for their words to be read
ROW_CYCLES = 3  # a row of the operand loader, at least
LOOKUP_CYCLES = READ_LATENCY + 1  # more when the row is named by a token queue
LOADER_LATENCY = READ_LATENCY + 2  # address of an operand word to its write: buffer and probability lanes
ISSUE_LATENCY = 2  # op to its first chunk when the issuer is idle
STEP_LATENCY = 1  # step of the attention schedule to the operand loader
REFILL_CYCLES = 7  # a slot goes back so early
COMPUTE_LATENCY = 8  # last chunk of a tile to its sums
POST_LATENCY = 24  # sums to the written row of lane 0

NORM_SEND_LATENCY = 12  # word sent to the normaliser to word written

_TREE_LEVELS = 2  # adder levels per register; maxima have one
_NORMALISE_MOVES = 2  # shifts per register
_INTERPOLATION = 4  # table, output, product, sum


def _tree(count: int, levels: int = _TREE_LEVELS) -> int:
    """Registers of a tree."""
    return max(1, -(-(count - 1).bit_length() // levels))


def _normalise(width: int, smallest: int) -> int:
    """Registers that bring the highest bit of a number to the top."""
    moves = [k for k in range((width - 1).bit_length()) if 1 << k >= smallest]
    return -(-len(moves) // _NORMALISE_MOVES)


def softmax_latency(arch: ArchConfig) -> int:
    """Last scores of a query to its row factor."""
    total_bits = 44 + (arch.max_tokens - 1).bit_length()
    trees = max(2 + _tree(arch.output_lanes), _tree(arch.output_lanes, 1))  # exponentials and terms; octaves
    return trees + 1 + _normalise(total_bits, 1) + _INTERPOLATION + 3


def gate_latency(arch: ArchConfig, top_k: int) -> int:
    """Last logits of a token to its progress; ``top_k`` cycles between tokens."""
    total_bits = 16 + (arch.max_experts - 1).bit_length()
    to_push = 2 + 3 + 3 + _tree(arch.max_experts) + _normalise(total_bits, 1) + _INTERPOLATION
    return 1 + to_push + 4 + top_k


def norm_wait(arch: ArchConfig) -> int:
    """Last word of a row read to its first word sent to the normaliser."""
    channels = arch.words(arch.max_channels) * arch.output_lanes
    root = _normalise(30 + 2 * (channels - 1).bit_length(), 2) + _INTERPOLATION + 1
    statistics = 1 + _tree(arch.output_lanes) + 1 + 3 + root
    return READ_LATENCY + 1 + statistics + 1


def norm_cycles(arch: ArchConfig, rows: int, words: int) -> int:
    """A LAYERNORM that nothing holds up, from its start to the progress of its last row."""
    return words + norm_wait(arch) + (words - 1) + NORM_SEND_LATENCY + 1 + (rows - 1) * words
