"""Token queues: which tokens each expert serves, and which experts have work."""

from typing import NamedTuple

import numpy as np

from golden.rounding import Integers
from hwgen.spec.tables import Int64Array


class ExpertQueue(NamedTuple):
    """The work of one expert."""

    tokens: Int64Array  # ascending
    scores: Int64Array  # UQ1.15, one per token


def expert_queues(chosen: Integers, scores: Integers, experts: int) -> list[ExpertQueue]:
    """One queue per expert from the gate's choice [tokens, K]; a queue may be empty."""
    chosen, scores = np.asarray(chosen, dtype=np.int64), np.asarray(scores, dtype=np.int64)
    queues: list[ExpertQueue] = []
    for expert in range(experts):
        tokens, place = np.nonzero(chosen == expert)
        queues.append(ExpertQueue(tokens.astype(np.int64), scores[tokens, place]))
    return queues


def meta_queue(queues: list[ExpertQueue]) -> Int64Array:
    """Experts with a non-empty queue, ascending."""
    return np.array([expert for expert, queue in enumerate(queues) if queue.tokens.size], dtype=np.int64)


def queue_lengths(queues: list[ExpertQueue]) -> Int64Array:
    """Tokens of every expert."""
    return np.array([queue.tokens.size for queue in queues], dtype=np.int64)
