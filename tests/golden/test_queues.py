"""Expert queues and the meta-queue, from empty to all tokens."""

import numpy as np

from golden.queues import expert_queues, meta_queue, queue_lengths


def test_lengths_zero_one_and_all():
    """Expert 0 serves nobody, 1 one token, 2 all; in the expert's queue tokens ascend and carry their own score."""
    chosen = np.array([[2, 3], [1, 2], [2, 3], [2, 3]])
    scores = np.arange(8).reshape(4, 2) * 10
    queues = expert_queues(chosen, scores, 5)
    assert [queue.tokens.tolist() for queue in queues] == [[], [1], [0, 1, 2, 3], [0, 2, 3], []]
    assert [queue.scores.tolist() for queue in queues] == [[], [20], [0, 30, 40, 60], [10, 50, 70], []]
    assert meta_queue(queues).tolist() == [1, 2, 3]
    assert queue_lengths(queues).tolist() == [0, 1, 4, 3, 0]


def test_every_choice_is_queued_once():
    rng = np.random.default_rng(4)
    for experts, count in ((1, 1), (8, 2), (16, 2), (6, 6)):
        chosen = np.sort(np.stack([rng.permutation(experts)[:count] for _ in range(129)]), axis=1)
        scores = rng.integers(0, 32769, chosen.shape)
        queues = expert_queues(chosen, scores, experts)
        found = {(int(t), e, int(s)) for e, q in enumerate(queues) for t, s in zip(q.tokens, q.scores, strict=True)}
        expected = {(t, int(chosen[t, k]), int(scores[t, k])) for t in range(129) for k in range(count)}
        assert found == expected
        assert queue_lengths(queues).sum() == 129 * count
        assert all(np.all(np.diff(queue.tokens) > 0) for queue in queues)
