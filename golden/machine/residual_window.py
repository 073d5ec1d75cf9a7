"""The residual is read some cycles before it is written: how long ago the post-processor wrote a word, at least."""

import numpy as np

from golden.machine.tracks import Places, blank
from hwgen.spec.arch import ArchConfig
from hwgen.spec.isa import Opcode
from hwgen.spec.ops import OPS
from hwgen.spec.ops.op import Fields
from hwgen.spec.tables import Int64Array
from hwgen.spec.timing import RESIDUAL_WINDOW, tile_cycles

WINDOW = RESIDUAL_WINDOW


class ResidualWindow:
    """When a word of the residual leaves the post-processor if nothing holds the compute unit up, in cycles.

    Whatever holds it up only puts rows further apart.
    """

    def __init__(self, words: int, arch: ArchConfig) -> None:
        """Nothing written."""
        self._arch, self._now = arch, 0  # end of the last tile
        self._written, self._newest = blank(words, -WINDOW), -WINDOW

    def leaves(self, opcode: Opcode, f: Fields, at: Places) -> Int64Array:
        """Cycle of every word that an instruction adds to, [rows, words]; EXPERTS: of the last one.

        Lane l of a tile leaves l cycles behind lane 0.
        """
        lanes = self._arch.token_lanes
        if opcode != Opcode.LINEAR:
            return np.full((at.rows, at.words), self._now + lanes - 1)
        row, tile = np.arange(at.rows, dtype=np.int64), np.arange(at.words, dtype=np.int64)
        ended = (row // lanes * f["out_tiles"])[:, None] + tile + 1
        return self._now + ended * tile_cycles(self._arch, f["in_chunks"]) + (row % lanes)[:, None]

    def behind(self, at: Places, leaves: Int64Array) -> Int64Array:
        """Cycles since each word was written last, at least; WINDOW stands for enough."""
        if not leaves.size or int(leaves.min()) - self._newest >= WINDOW:
            return np.full(leaves.shape, WINDOW)
        return np.minimum(leaves - at.of(self._written), WINDOW)

    def write(self, at: Places, leaves: Int64Array) -> None:
        """The words are written."""
        if leaves.size:
            at.put(self._written, leaves)
            self._newest = max(self._newest, int(leaves.max()))

    def end(self, opcode: Opcode, f: Fields) -> None:
        """The instruction is over; queues are not looked at, so that EXPERTS may take no time."""
        self._now += OPS[opcode].cycles(f, self._arch, ())
