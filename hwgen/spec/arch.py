"""What machine: parallelism, buffers and ports of one accelerator. Never changes the numbers, only the cycles."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Annotated

from hwgen.spec.buffers import (
    ACTIVATION,
    ADDRESS_WORDS,
    KEY,
    NORM,
    PARAM_BYTES,
    RESIDUAL,
    RING_WORDS,
    SIZED,
    VALUE,
    WEIGHT_RING,
)
from hwgen.spec.limits import Limits, limits_of, refuse
from hwgen.spec.shown import shown

BEAT_BYTES = 16  # one AXI data beat, 128 bits


@dataclass(frozen=True, kw_only=True)
class ArchConfig:
    """Parameters of the machine. Words are ``output_lanes`` elements wide; limits are what programs may use."""

    name: str
    token_lanes: Annotated[int, Limits(1, 16)]  # Pt: token rows per cycle
    input_lanes: Annotated[int, Limits(8, 16)]  # Pi: inputs summed per cycle
    output_lanes: Annotated[int, Limits(8, 64)]  # Po: outputs per cycle; a power-of-two multiple of input_lanes
    max_tokens: Annotated[int, Limits(2, 1024)]  # rows of a sequence, queries and keys
    max_inputs: Annotated[int, Limits(8, 4096)]  # inputs of one linear layer, keys of one context row
    max_channels: Annotated[int, Limits(8, 1024)]  # channels of a LayerNorm row
    max_experts: Annotated[int, Limits(1, 32)]  # experts of one gate
    residual_bytes: int  # int16 residual stream
    norm_bytes: int  # int8 LayerNorm output
    activation_bytes: int  # int8 query, context, hidden and patches
    key_bytes: int  # int8 keys of all heads
    value_bytes: int  # int8 values of all heads
    score_words: int  # score rows: words of output_lanes scores, both slots
    ring_bytes: int  # weight ring
    param_entries: Annotated[int, Limits(*RING_WORDS)] = 64  # output tiles whose parameters are held: a ring
    norm_entries: Annotated[int, Limits(*RING_WORDS)] = 64  # LayerNorm words whose parameters are held: a ring
    weight_ports: int = 1  # AXI masters that fill the ring side by side: 1, 2 or 4
    burst_beats: Annotated[int, Limits(1, 64)] = 16  # longest AXI burst
    outstanding: Annotated[int, Limits(1, 16)] = 4  # read bursts in flight per port
    load_queue: Annotated[int, Limits(2, 64)] = 32  # LOAD_WEIGHTS instructions waiting
    result_beats: Annotated[int, Limits(16, 65_536)] = 256  # result FIFO
    # 2: LayerNorm and post-processor read the residual stream side by side; 1: half the memory, LayerNorm gives way
    residual_copies: Annotated[int, Limits(1, 2)] = 2
    list_entries: Annotated[int, Limits(0, ADDRESS_WORDS)] = 0  # rows that selections list; 0: none can be made
    fuse_tokens: bool = True  # rows that a selection drops can be summed; nothing where there are no selections

    def __post_init__(self) -> None:
        """Refuse machines that cannot be; the message says what was given."""
        refuse(self)
        ratio, rest = divmod(self.output_lanes, self.input_lanes)
        if rest or ratio & (ratio - 1) or self.input_lanes & (self.input_lanes - 1):
            raise ValueError(
                f"output_lanes {self.output_lanes} must be a power-of-two multiple of input_lanes {self.input_lanes},"
                " itself a power of two"
            )
        if self.weight_ports not in (1, 2, 4) or self.output_lanes < 2 * self.weight_ports:
            raise ValueError(f"weight_ports {self.weight_ports} must be 1, 2 or 4 and at most output_lanes / 2")
        wrong = [text for field in self.word_bytes if (text := self._size_fault(field))]
        if wrong:
            raise ValueError("; ".join(wrong))

    def _size_fault(self, field: str) -> str:
        """What is wrong with the size of a buffer, or nothing."""
        (least, most), value = self.limits(field), int(getattr(self, field))
        if least <= value <= most:
            return ""
        words = (size // self.word_bytes[field] for size in (least, most))
        return "{} {} must be in {}..{}: {} to {} words of {} B".format(
            field, shown(value), least, most, *words, self.word_bytes[field]
        ).replace(" of 1 B", "")

    @property
    def word_bytes(self) -> dict[str, int]:
        """Field of a buffer's size -> bytes of one of its words (score_words: 1), all banks together."""
        return {memory.size_field: memory.unit(self) for memory in SIZED}

    def limits(self, field: str) -> tuple[int, int]:
        """Least and largest value of a whole-number field, on a machine with these lanes."""
        for memory in SIZED:
            if memory.size_field == field:
                (least, most), size = memory.depth, memory.unit(self)
                return least * size, (most + 1) * size - 1  # part of a word is not used
        limits = limits_of(ArchConfig)[field]
        return int(limits.least), int(limits.most)

    def advice(self, field: str, need: int) -> str:
        """What to do when a network needs ``need`` of a field: a value that can be set, or that there is none."""
        least, most = self.limits(field)
        if need > most:
            return f"{field} reaches {most:,}, so that the network fits no machine with these lanes"
        return f"set {field} >= {max(need, least)}"

    @property
    def arch_id(self) -> int:
        """What register ARCH_ID reads: the first 32 bits of the sha256 of all fields, as JSON with sorted keys.

        What a machine has had from the beginning does not count: two copies of the residual stream, no selections.
        """
        fields = asdict(self)
        if self.residual_copies == 2:
            del fields["residual_copies"]
        if not self.list_entries:
            del fields["list_entries"], fields["fuse_tokens"]
        text = json.dumps(fields, sort_keys=True)
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")

    @property
    def subwords(self) -> int:
        """Input chunks (input_lanes values) in one word (output_lanes values)."""
        return self.output_lanes // self.input_lanes

    @property
    def macs(self) -> int:
        """Multiply-accumulates per cycle."""
        return self.token_lanes * self.input_lanes * self.output_lanes

    @property
    def tile_bytes(self) -> int:
        """One word of the weight ring: an input_lanes x output_lanes tile."""
        return self.input_lanes * self.output_lanes

    @property
    def ring_words(self) -> int:
        """Weight tiles that the ring holds."""
        return WEIGHT_RING.words(self)

    @property
    def result_words(self) -> int:
        """Words that the result FIFO holds."""
        return max(2, self.result_beats * BEAT_BYTES // (2 * self.output_lanes))

    @property
    def residual_words(self) -> int:
        """Words of the residual buffer."""
        return RESIDUAL.words(self)

    @property
    def norm_words(self) -> int:
        """Words of the LayerNorm output buffer."""
        return NORM.words(self)

    @property
    def activation_words(self) -> int:
        """Words of the activation buffer."""
        return ACTIVATION.words(self)

    @property
    def key_words(self) -> int:
        """Words of each of the output_lanes key banks (one key per bank, output_lanes dims per word)."""
        return KEY.words(self)

    @property
    def value_words(self) -> int:
        """Words of each of the input_lanes value banks (one key per bank, output_lanes dims per word)."""
        return VALUE.words(self)

    @property
    def importance_words(self) -> int:
        """Words that hold the importances of as many tokens as a row of scores has."""
        return self.words(self.max_tokens) if self.list_entries else 0

    @property
    def tile_beats(self) -> int:
        """AXI beats of one weight tile, all ports together."""
        return self.tile_bytes // BEAT_BYTES

    @property
    def param_beats(self) -> int:
        """AXI beats of one parameter entry (output_lanes channels), all ports together."""
        return self.output_lanes * PARAM_BYTES // BEAT_BYTES

    def words(self, values: int) -> int:
        """Words that hold ``values`` elements."""
        return -(-values // self.output_lanes)

    def chunks(self, values: int) -> int:
        """Input chunks that hold ``values`` elements."""
        return -(-values // self.input_lanes)
