"""The rings that the weight loader fills ahead of their consumers, with the order and the space of the real ones."""

from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hwgen.spec.buffers import NORM_RING, PARAM_RING, WEIGHT_RING

BROUGHT = {"norm_entries": NORM_RING.name, "param_entries": PARAM_RING.name, "weight_words": WEIGHT_RING.name}
"""Field of LOAD_WEIGHTS -> the ring whose words it counts, in the order of a load."""

Words = NDArray[np.uint8]  # bytes [words, word_bytes]


class Ring:
    """At most ``depth`` words; a consumer takes the oldest."""

    def __init__(self, name: str, depth: int) -> None:
        """An empty ring."""
        self.name, self.depth = name, depth
        self._parts: deque[Words] = deque()
        self.words = 0  # loaded and not yet taken

    def put(self, words: Words) -> None:
        """Append words; the loader has checked that there is space."""
        self._parts.append(words)
        self.words += len(words)

    def take(self, count: int) -> Words:
        """Remove the oldest ``count`` words; the caller has checked that they are there."""
        taken: list[Words] = []
        self.words -= count
        while count:
            part = self._parts.popleft()
            taken.append(part[:count])
            if len(part) > count:
                self._parts.appendleft(part[count:])
            count -= len(taken[-1])
        return np.concatenate(taken) if taken else np.zeros((0, 1), dtype=np.uint8)


class Loader:
    """Brings the words of the loads in program order, as far as the rings have space."""

    def __init__(self, dispatch: Callable[[], bool]) -> None:
        """Nothing to load; ``dispatch`` starts one more load of the program, if the sequencer would."""
        self._pending: deque[list[tuple[Ring, Words]]] = deque()
        self._dispatch = dispatch

    @property
    def waiting(self) -> int:
        """Loads that are not finished."""
        return len(self._pending)

    def start(self, parts: list[tuple[Ring, Words]]) -> None:
        """Queue one load: its words for each ring, in the order in which they come."""
        self._pending.append(parts)
        self.fill()

    def bring(self, ring: Ring, count: int) -> None:
        """Load until ``ring`` holds ``count`` words, if that can be."""
        self.fill()
        while ring.words < count and self._dispatch():
            self.fill()

    def fill(self) -> None:
        """Load until everything is there or a ring is full."""
        while self._pending:
            parts = self._pending[0]
            while parts:
                ring, words = parts[0]
                fits = min(ring.depth - ring.words, len(words))
                if fits:
                    ring.put(words[:fits])
                if fits < len(words):
                    parts[0] = ring, words[fits:]
                    return
                del parts[0]
            self._pending.popleft()
