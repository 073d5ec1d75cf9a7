"""What the machine shows of its inside: trace channels, declared once for RTL, bench and parser.

The accelerator has a submodule ``trace`` whose input wires are called ``<channel>__valid`` and ``<channel>__<field>``.
Every cycle with ``valid`` becomes one fixed-size record: the cycle in 32 bits, each field in 16 bits, then the data.
"""

from dataclasses import dataclass

from hwgen.spec.buffers import ACTIVATION, RESIDUAL

FIELD_BITS = 16  # storage of one field in a record
CYCLE_BITS = 32


@dataclass(frozen=True)
class TraceField:
    """One value of a channel and its width in hardware."""

    name: str
    bits: int
    meaning: str


@dataclass(frozen=True)
class TraceChannel:
    """A stream of records: fields, and for words ``output_lanes`` values of ``lane_bits`` each (field ``data``).

    ``always``: recorded by every simulation, traces wanted or not.
    """

    name: str
    meaning: str
    fields: tuple[TraceField, ...]
    lane_bits: int = 0
    always: bool = False

    @property
    def padding_fields(self) -> int:
        """Zero fields that fill a record up to whole 32-bit words."""
        return len(self.fields) % 2

    def record_bytes(self, lanes: int) -> int:
        """Bytes of one record on a machine of ``lanes`` output lanes."""
        fields = (len(self.fields) + self.padding_fields) * FIELD_BITS
        return (CYCLE_BITS + fields + lanes * self.lane_bits) // 8


_PC = TraceField("pc", 16, "index of the instruction")
_ROW = TraceField("row", 12, "row of the tensor (experts' first layer: position in the queue)")
_WORD = TraceField("word", 10, "word of the row (scores: tile of keys)")

START_PREFIX = "start_"
# Memories whose one write port has two writers, in the order of the bits of channel ``conflict``. There is no arbiter:
# a program orders the writers (docs/architecture.md, "The order of the machine"); what is lost when it does not is lost
# silently.
SHARED = (RESIDUAL, ACTIVATION)
CONFLICT = TraceChannel(
    "conflict",
    "two units wrote one memory in one cycle",
    (TraceField("memories", len(SHARED), "a bit for each of SHARED"),),
    always=True,
)

CHANNELS: tuple[TraceChannel, ...] = (
    TraceChannel(
        "post",
        "a word that the post-processor finished",
        (_PC, TraceField("destination", 4, "Destination"), _ROW, _WORD),
        lane_bits=16,
    ),
    TraceChannel("norm", "a word that LayerNorm finished", (_PC, _ROW, _WORD), lane_bits=8),
    TraceChannel(
        "gate",
        "one expert chosen for one token",
        (_PC, TraceField("token", 12, "row"), TraceField("expert", 6, "expert"), TraceField("score", 16, "UQ1.15")),
    ),
    TraceChannel(
        "select",
        "SELECT judged one position",
        (
            _PC,
            TraceField("position", 12, "position in the sequence"),
            TraceField("low", 16, "importance, its low 16 bits"),
            TraceField("high", 13, "importance, the bits above"),
            TraceField("kept", 1, "it stays"),
        ),
    ),
    TraceChannel(
        "move",
        "a word of a row that GATHER or SCATTER copied",
        (_PC, TraceField("row", 12, "row of the target"), _WORD),
        lane_bits=16,
    ),
    TraceChannel(f"{START_PREFIX}compute", "the compute unit took an instruction", (_PC,)),
    TraceChannel(f"{START_PREFIX}norm", "LayerNorm took an instruction", (_PC,)),
    TraceChannel(f"{START_PREFIX}load", "the weight loader took an instruction", (_PC,)),
    TraceChannel(f"{START_PREFIX}io", "the IO engine took an instruction", (_PC,)),
    CONFLICT,
)
