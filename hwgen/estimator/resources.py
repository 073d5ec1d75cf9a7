"""Rough FPGA resources of a machine, from its parameters alone: an estimate before any synthesis."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from hwgen.spec.arch import BEAT_BYTES, ArchConfig
from hwgen.spec.board import Board
from hwgen.spec.buffers import MEMORIES, RINGS, ROW_FACTOR

BRAM36_SHAPES = ((512, 72), (1024, 36), (2048, 18), (4096, 9))  # depth, width
LUTRAM_DEPTH = 64  # shallower memories are look-up tables: 64 bits each
LANE_BRAM = 0.5  # per lane: the table of GELU
FIXED_BRAM = 20  # gate, queues of experts, reciprocals, loaders
POST_DSP = 3  # per lane: requantisation 2, scale behind GELU 1
NORM_DSP = 4  # per lane: square 1, normalisation 2, gain 1
SHARED_DSP = 9  # reciprocal square root and row addresses
LUT_PER_PACKED_MAC = 41  # adder tree and split of a product of two
LUT_PER_WEIGHT = 20  # nibbles, and the choice between weights, keys and values
POST_LUT = 1000  # per lane: requantisation, GELU, scale, rows
ATTENTION_LUT = 320  # per lane: softmax statistics, gate
NORM_LUT = 410  # per lane
PORT_LUT = 1200  # per AXI port
FIXED_LUT = 7000  # sequencer, registers, loaders, rings
FF_PER_LUT = 1.15
GUARD_RAILS = {"lut": 0.7, "ff": 0.5, "bram36": 0.8, "dsp": 0.8}  # shares that usually still close timing


@dataclass(frozen=True, kw_only=True)
class ResourceEstimate:
    """Estimated use of a part."""

    lut: int
    ff: int
    bram36: int
    dsp: int

    def against(self, board: Board) -> dict[str, dict[str, float]]:
        """Per resource: estimate, what the part has, and the guard rail below which a fit usually closes timing."""
        there = asdict(board.resources)
        return {
            name: {"estimate": used, "available": there[name], "guard_rail": GUARD_RAILS[name]}
            for name, used in asdict(self).items()
        }


def memories(arch: ArchConfig) -> Iterator[tuple[str, int, int, int]]:
    """(name, copies, depth, width in bits) of every memory that matters."""
    lanes, word = arch.output_lanes, 8 * arch.output_lanes
    for name, memory in MEMORIES.items():
        if memory in RINGS:  # beat by beat, as ports fill them
            yield name, memory.word_bits(arch) // (8 * BEAT_BYTES), memory.words(arch), 8 * BEAT_BYTES
        elif memory is not ROW_FACTOR:  # two block RAMs at most
            yield name, memory.copies(arch) * memory.bank_count(arch), memory.words(arch), memory.word_bits(arch)
    yield "operand", 2 * arch.token_lanes, -(-arch.max_inputs // lanes), word
    yield "results", 1, arch.result_beats, 128


def _bram36(depth: int, width: int) -> int:
    """Fewest block RAMs that hold the memory."""
    return min(-(-depth // rows) * -(-width // columns) for rows, columns in BRAM36_SHAPES)


def resources(arch: ArchConfig) -> ResourceEstimate:
    """Estimated resources of ``arch``."""
    pairs = -(-arch.token_lanes // 2)
    packed = pairs * arch.input_lanes * arch.output_lanes
    lut = packed * LUT_PER_PACKED_MAC + arch.input_lanes * arch.output_lanes * LUT_PER_WEIGHT
    lut += (POST_LUT + ATTENTION_LUT + NORM_LUT) * arch.output_lanes
    lut += PORT_LUT * (arch.weight_ports + 1) + FIXED_LUT
    bram = FIXED_BRAM + int(LANE_BRAM * arch.output_lanes)
    for _, copies, depth, width in memories(arch):
        if depth <= LUTRAM_DEPTH:
            lut += copies * width * -(-depth // 64)
        else:
            bram += copies * _bram36(depth, width)
    lanes = (POST_DSP + NORM_DSP) * arch.output_lanes
    return ResourceEstimate(lut=lut, ff=int(lut * FF_PER_LUT), bram36=bram, dsp=packed + lanes + SHARED_DSP)
