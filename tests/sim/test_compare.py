"""The comparison finds every kind of fault, and says where the first one is."""

import numpy as np
import pytest

from hwgen.spec.isa import Destination
from sim.compare import compare
from sim.trace import Trace
from tests.sim.mock_program import DIM, LANES, TOKENS, golden, listing, script, trace_of


@pytest.fixture
def trace() -> Trace:
    return trace_of(script(golden()))


def at(trace: Trace, channel: str, **fields: int) -> np.ndarray:
    """Mask of records."""
    mask = np.ones(trace[channel].size, dtype=bool)
    for name, value in fields.items():
        mask &= trace[channel][name] == value
    return mask


def drop(trace: Trace, channel: str, **fields: int) -> int:
    mask = at(trace, channel, **fields)
    trace[channel] = trace[channel][~mask]
    return int(mask.sum())


def test_a_right_trace_agrees_in_every_value(trace: Trace):
    want = golden()
    result = compare(trace, listing(), want, want["heads.seg"])
    assert result.good
    assert result.first is None
    assert result.values == sum(tensor.size for tensor in want.values()) + want["heads.seg"].size
    assert {name: count.values for name, count in result.tensors.items() if name != "result"} == {
        name: tensor.size for name, tensor in want.items()
    }
    assert all(np.array_equal(result.got[name], tensor) for name, tensor in want.items())


def test_a_flipped_bit_is_named(trace: Trace):
    mask = at(trace, "post", pc=1, row=3, word=1)
    record = np.flatnonzero(mask)[0]
    trace["post"]["data"][record, 2] ^= 4
    result = compare(trace, listing(), golden())
    assert (result.mismatches, result.good) == (1, False)
    first = result.first
    want = int(golden()["query"][3, DIM // 2 + 2])
    assert first is not None
    assert (first.instruction, first.tensor, first.index) == (1, "query", (3, DIM // 2 + 2))
    assert (first.cycle, first.got, first.want) == (int(trace["post"]["cycle"][record]), want ^ 4, want)
    assert "query[3, 14] by instruction 1 (query) in cycle" in str(first)


def test_a_flipped_bit_in_padding_is_not_a_value(trace: Trace):
    trace["post"]["data"][np.flatnonzero(at(trace, "post", pc=1, row=3, word=1))[0], DIM // 2] ^= 4
    assert compare(trace, listing(), golden()).good


def test_the_first_wrong_value_is_the_first_in_time(trace: Trace):
    words = np.flatnonzero(at(trace, "post", pc=2))
    trace["post"]["cycle"][words] = trace["post"]["cycle"][words][::-1]  # queries in another order
    trace["post"]["data"][words, 0] += 1
    result = compare(trace, listing(), golden())
    assert result.mismatches == TOKENS
    assert result.first is not None
    assert result.first.index == (0, TOKENS - 1, 0)


def test_a_missing_row_is_a_mismatch(trace: Trace):
    assert drop(trace, "norm", row=2) == 2
    result = compare(trace, listing(), golden())
    assert result.mismatches == DIM
    assert result.first is not None
    assert (result.first.tensor, result.first.cycle, result.first.got) == ("norm1", None, None)
    assert "norm1[2, 0] was never written" in str(result.first)


def test_a_silent_machine_fails_everywhere(trace: Trace):
    want = golden()
    result = compare({name: records[:0] for name, records in trace.items()}, listing(), want, np.zeros((4, 20)))
    assert not result.good
    assert result.mismatches >= result.values - 2  # a result of zeros may hold a right zero


def test_a_wrong_instruction_is_found_twice(trace: Trace):
    mask = at(trace, "post", pc=2)
    trace["post"]["pc"][mask] = 3  # overwrites nothing: the other head's words come later
    result = compare(trace, listing(), golden())
    assert result.tensors["scores"].mismatches == TOKENS * TOKENS
    trace["post"]["pc"][mask] = 200
    result = compare(trace, listing(), golden())
    assert result.tensors["outside the program"].mismatches == int(mask.sum())


def test_a_wrong_destination_is_found(trace: Trace):
    mask = at(trace, "post", pc=1, row=0)
    trace["post"]["destination"][mask] = int(Destination.KEY)
    result = compare(trace, listing(), golden())
    assert result.tensors["query"].mismatches == DIM
    assert result.tensors["unexpected post"].mismatches == int(mask.sum())


def test_a_word_beyond_the_tensor_is_found(trace: Trace):
    trace["post"]["row"][np.flatnonzero(at(trace, "post", pc=6, row=3))[-1]] = TOKENS
    result = compare(trace, listing(), golden())
    assert result.tensors["heads.seg"].mismatches == 20 - LANES + 1


def test_an_expert_row_keeps_its_last_write(trace: Trace):
    row = np.flatnonzero(at(trace, "post", pc=5, row=1, word=0, destination=int(Destination.EXPERT)))
    assert row.size == 2
    trace["post"]["data"][row] = trace["post"]["data"][row[::-1]]
    assert compare(trace, listing(), golden()).tensors["moe"].mismatches == 1


@pytest.mark.parametrize(
    ("field", "wrong"), [("expert", {"m.experts", "m.queue_lengths"}), ("score", {"m.expert_scores"})]
)
def test_a_wrong_choice_of_the_gate_is_found(trace: Trace, field: str, wrong: set[str]):
    want = golden()
    record = np.flatnonzero(at(trace, "gate", token=2))[0]
    others = trace["gate"]["expert"][at(trace, "gate", token=2)]
    trace["gate"][field][record] = next(e for e in range(4) if e not in others) if field == "expert" else 7
    result = compare(trace, listing(), want)
    found = {name for name, count in result.tensors.items() if count.mismatches}
    assert wrong <= found <= wrong | {"m.expert_scores"}
    assert result.first is not None
    assert result.first.instruction == 4


def test_a_lost_or_doubled_queue_entry_is_found(trace: Trace):
    assert drop(trace, "gate", token=1) == 2
    result = compare(trace, listing(), golden())
    assert result.tensors["m.experts"].mismatches == 2
    assert result.tensors["m.queue_lengths"].mismatches == 2
    twice = trace_of(script(golden()))
    twice["gate"] = np.concatenate([twice["gate"], twice["gate"][:1]])
    assert compare(twice, listing(), golden()).tensors["m.experts"].mismatches == TOKENS * 2


def test_a_tensor_that_no_instruction_makes_is_a_mismatch(trace: Trace):
    want = golden() | {"forgotten": np.zeros((3, 4), int)}
    assert compare(trace, listing(), want).tensors["forgotten"].mismatches == 12
    program = [entry for entry in listing() if entry.name != "scores.1"]
    assert compare(trace, program, golden()).tensors["scores"].mismatches == TOKENS * TOKENS


def test_a_wrong_result_in_memory_is_found(trace: Trace):
    data = golden()["heads.seg"].copy()
    data[1, 2] += 1
    result = compare(trace, listing(), golden(), data)
    assert (result.mismatches, result.tensors["result"].mismatches) == (1, 1)
    assert result.first is not None
    assert (result.first.name, result.first.index) == ("store", (1, 2))
