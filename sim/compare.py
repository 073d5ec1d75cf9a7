"""RTL against golden, instruction by instruction: what was written, where, when, and what should have been.

Nothing passes by silence. A value counts as a mismatch when it is wrong, when its word was never traced, and when a
golden tensor has no instruction that makes it; a word that no instruction should have written counts too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler.listing import ListingEntry, Produced
from hwgen.spec.isa import Destination, Opcode
from hwgen.spec.ops import OPS
from sim.trace import Records, Trace, of_instruction

Array = NDArray[Any]
FOLLOWING = ("gate", "select")  # channels whose tensors follow from records and have no words
CHOSEN = ("experts", "expert_scores", "queue_lengths")  # what follows from logits, in the order of a gate's tensors
RESULT = "result"  # the tensor of a task's result as the host reads it from memory
FAR = 2**62  # later than any cycle
NEVER = int(np.iinfo(np.int64).min)  # stands for a value that should have been written and was not: equals no value


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """A wrong value: instruction, tensor and index, what came and what should have come."""

    instruction: int
    name: str  # of the instruction
    tensor: str
    index: tuple[int, ...]
    cycle: int | None  # since the start of the run; None: never written
    got: int | None
    want: int | None  # None: nothing should have been written

    def __str__(self) -> str:
        """One line for the terminal."""
        place = f"{self.tensor}[{', '.join(map(str, self.index))}]"
        by = f"instruction {self.instruction} ({self.name})"
        if self.got is None:
            return f"{place} was never written by {by}, want {self.want}"
        want = "nothing" if self.want is None else self.want
        return f"{place} by {by} in cycle {self.cycle}: got {self.got}, want {want}"


@dataclass
class TensorCount:
    """Values of one tensor that were compared, and how many of them are wrong or missing."""

    values: int = 0
    mismatches: int = 0


@dataclass
class Comparison:
    """All tensors of one run."""

    tensors: dict[str, TensorCount] = field(default_factory=dict[str, TensorCount])
    first: Mismatch | None = None  # the earliest in the program
    got: dict[str, Array] = field(default_factory=dict[str, Array])  # as the machine wrote them; see `written`
    written: dict[str, Array] = field(default_factory=dict[str, Array])  # what the program writes; elsewhere got is 0

    @property
    def values(self) -> int:
        """Compared values."""
        return sum(count.values for count in self.tensors.values())

    @property
    def mismatches(self) -> int:
        """Wrong or missing values."""
        return sum(count.mismatches for count in self.tensors.values())

    @property
    def good(self) -> bool:
        """Something was compared and all of it is right."""
        return self.values > 0 and self.mismatches == 0

    def add(self, tensor: str, values: int, mismatches: int, first: Mismatch | None) -> None:
        """Count a part of a tensor."""
        count = self.tensors.setdefault(tensor, TensorCount())
        count.values += values
        count.mismatches += mismatches
        if first is not None and self.first is None:
            self.first = first

    def keep(self, tensor: str, shape: tuple[int, ...]) -> None:
        """Make room for a tensor, unless a part of it is there; nothing of it is written yet."""
        self.got.setdefault(tensor, np.zeros(shape, dtype=np.int64))
        self.written.setdefault(tensor, np.zeros(shape, dtype=bool))


def _gather(item: Produced, records: Records, lanes: int) -> tuple[Array, Array]:
    """Words [rows, words, lanes], and the cycle of each word [rows, words]; FAR: not written."""
    words = np.zeros((item.rows, item.words, lanes), dtype=np.int64)
    cycles = np.full((item.rows, item.words), FAR, dtype=np.int64)
    inside = (records["row"] < item.rows) & (records["word"] < item.words)
    kept = records[inside]  # in the order of time: of several writes the last one stays
    words[kept["row"], kept["word"]] = kept["data"]
    cycles[kept["row"], kept["word"]] = kept["cycle"]
    return words, cycles


def _first_wrong(entry: ListingEntry, item: Produced, got: Array, want: Array, late: Array) -> Mismatch:
    """The wrong value that was written first; all arrays [rows, groups, values]."""
    where = np.where(got != want, late, FAR + 1)
    where = np.where(late == FAR, FAR, where)
    row, group, value = (int(i) for i in np.unravel_index(np.argmin(where), where.shape))
    cycle = int(late[row, group, value])
    index = (*item.index, item.row_offset + row, item.column_offset + group * item.group_values + value)
    written = cycle != FAR
    return Mismatch(
        instruction=entry.index,
        name=entry.name,
        tensor=item.tensor,
        index=index,
        cycle=cycle if written else None,
        got=int(got[row, group, value]) if written else None,
        want=int(want[row, group, value]),
    )


def _by_group(item: Produced, words: Array, lanes: int) -> Array:
    """[rows, words, lanes] -> [rows, groups, values] without the padding."""
    grouped = words.reshape(item.rows, item.groups, item.group_words * lanes)
    return grouped[:, :, : item.group_values]


def _compare_words(
    result: Comparison, entry: ListingEntry, item: Produced, trace: Trace, tensors: Mapping[str, Array]
) -> None:
    """A tensor that comes as words on channel post, norm or move."""
    records = of_instruction(trace[item.channel], entry.index)
    if item.destination is not None:
        records = records[records["destination"] == item.destination]
    lanes = trace[item.channel].dtype["data"].shape[0]
    words, cycles = _gather(item, records, lanes)
    got = _by_group(item, words, lanes)
    late = _by_group(item, np.repeat(cycles[:, :, None], lanes, axis=2), lanes)
    want = _by_group(item, item.as_words(np.asarray(tensors[item.tensor], dtype=np.int64), lanes), lanes)
    here = np.ones(item.rows, dtype=bool)  # rows that the instruction writes
    if item.only is not None:  # what the others hold has been compared where they were written
        here = np.isin(np.arange(item.rows), tensors[item.only])
    known = np.append(here, False)[np.minimum(records["row"], item.rows)] & (records["word"] < item.words)
    strays = int(np.count_nonzero(~known))
    wrong = int(np.count_nonzero((got != want)[here] | (late == FAR)[here]))
    seen = np.where(here[:, None, None], got, want)
    first = _first_wrong(entry, item, seen, want, late) if wrong else None
    if strays and first is None:
        first = _stray(entry, item.tensor, records[~known])
    result.add(item.tensor, item.values // item.rows * int(here.sum()), wrong + strays, first)
    result.keep(item.tensor, item.shape)
    values = np.where(late == FAR, NEVER, got).reshape(item.rows, -1)
    item.part(result.got[item.tensor])[here] = values[here]
    item.part(result.written[item.tensor])[here] = True


def _stray(entry: ListingEntry, tensor: str, records: Records) -> Mismatch:
    """The first record that has no place."""
    record = records[0]
    return Mismatch(
        instruction=entry.index,
        name=entry.name,
        tensor=tensor,
        index=(int(record["row"]), int(record["word"])),
        cycle=int(record["cycle"]),
        got=int(record["data"][0]),
        want=None,
    )


def _gate_tensors(records: Records, choice: Produced, experts: int) -> dict[str, tuple[Array, Array]]:
    """Name of `CHOSEN` -> (values, cycles); -1 where nothing was written."""
    tokens, top_k = choice.shape
    chosen = np.full((tokens, top_k), -1, dtype=np.int64)
    scores, cycles = chosen.copy(), np.full((tokens, top_k), FAR, dtype=np.int64)
    seen = np.zeros(tokens, dtype=np.int64)
    for record in records[np.lexsort((records["expert"], records["token"]))]:
        token = int(record["token"])
        if token >= tokens or seen[token] >= top_k:
            raise ValueError(f"token {token} has more than {top_k} experts or does not exist (of {tokens} tokens)")
        place = (token, int(seen[token]))
        chosen[place], scores[place], cycles[place] = record["expert"], record["score"], record["cycle"]
        seen[token] += 1
    lengths = np.bincount(records["expert"], minlength=experts).astype(np.int64)
    last = np.full(lengths.shape, int(records["cycle"].max()) if records.size else FAR)
    return {"experts": (chosen, cycles), "expert_scores": (scores, cycles), "queue_lengths": (lengths, last)}


def _compare_gate(result: Comparison, entry: ListingEntry, trace: Trace, golden: Mapping[str, Array]) -> None:
    """The tensors that follow from the entries of the expert queues; the order within a token does not matter."""
    items = [item for item in entry.produced if item.channel == "gate"]
    kinds = dict(zip(CHOSEN, items, strict=True))
    records = of_instruction(trace["gate"], entry.index)
    try:
        found = _gate_tensors(records, kinds["experts"], kinds["queue_lengths"].shape[0])
    except ValueError:
        blank = {kind: np.full(item.shape, -1, dtype=np.int64) for kind, item in kinds.items()}
        found = {kind: (values, np.full(values.shape, FAR)) for kind, values in blank.items()}
    for kind, item in kinds.items():
        _compare_following(result, entry, item, found[kind], golden)


def _compare_following(
    result: Comparison,
    entry: ListingEntry,
    item: Produced,
    found: tuple[Array, Array],
    golden: Mapping[str, Array],
) -> None:
    """A tensor that follows from records: its values and their cycles, which may be too many or too few."""
    got, cycles = found
    want = np.asarray(golden[item.tensor], dtype=np.int64)
    same = got.shape == want.shape
    wrong = got != want if same else np.ones(want.shape, dtype=bool)
    first = None
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        written = same and cycles[at] != FAR
        first = Mismatch(
            instruction=entry.index,
            name=entry.name,
            tensor=item.tensor,
            index=at,
            cycle=int(cycles[at]) if written else None,
            got=int(got[at]) if written else None,
            want=int(want[at]),
        )
    result.add(item.tensor, want.size, int(np.count_nonzero(wrong)), first)
    result.keep(item.tensor, item.shape)
    result.got[item.tensor] = got if same else np.full(item.shape, NEVER)
    result.written[item.tensor][...] = True


def _compare_select(result: Comparison, entry: ListingEntry, trace: Trace, golden: Mapping[str, Array]) -> None:
    """Importances, and the positions that are kept: a record a position, in order."""
    importance, kept = (item for item in entry.produced if item.channel == "select")
    records = of_instruction(trace["select"], entry.index)
    rows = importance.shape[0]
    values = np.full(rows, NEVER)
    cycles = np.full(rows, FAR, dtype=np.int64)
    inside = records[records["position"] < rows]
    values[inside["position"]] = inside["low"].astype(np.int64) | inside["high"].astype(np.int64) << 16
    cycles[inside["position"]] = inside["cycle"]
    stay = inside[inside["kept"] == 1]
    _compare_following(result, entry, importance, (values, cycles), golden)
    _compare_following(result, entry, kept, (stay["position"].astype(np.int64), stay["cycle"]), golden)
    if len(records) != rows:
        result.add(importance.tensor, 0, abs(len(records) - rows), None)


def _compare_entry(result: Comparison, entry: ListingEntry, trace: Trace, golden: Mapping[str, Array]) -> None:
    for item in entry.produced:
        if item.tensor not in golden:
            raise ValueError(f"instruction {entry.index} makes {item.tensor}, which golden does not have")
        if item.channel not in FOLLOWING:
            _compare_words(result, entry, item, trace, golden)
    if any(item.channel == "gate" for item in entry.produced):
        _compare_gate(result, entry, trace, golden)
    if any(item.channel == "select" for item in entry.produced):
        _compare_select(result, entry, trace, golden)
    _unexpected(result, entry, trace)


def _unexpected(result: Comparison, entry: ListingEntry, trace: Trace) -> None:
    """Words of an instruction that belong to none of its tensors: a wrong destination, a wrong channel."""
    passing = OPS[entry.opcode].destinations(entry.fields) if entry.opcode is Opcode.EXPERTS else ()
    for channel in ("post", "norm", "move"):
        records = of_instruction(trace[channel], entry.index)
        items = [item for item in entry.produced if item.channel == channel]
        if channel == "post":
            known = [int(item.destination) for item in items if item.destination is not None]
            records = records[~np.isin(records["destination"], [*known, *map(int, passing)])]
        elif items:
            continue
        if records.size:
            name = f"unexpected {channel}"
            result.add(name, 0, int(records.size), _stray(entry, name, records))


def _not_made(result: Comparison, listing: Sequence[ListingEntry], golden: Mapping[str, Array]) -> None:
    """Golden tensors that no instruction makes, or not for whole rows."""
    parts: dict[str, list[Produced]] = {}
    for entry in listing:
        for item in entry.produced:
            parts.setdefault(item.tensor, []).append(item)
    for name, tensor in golden.items():
        items = parts.get(name, [])
        if not items:
            result.add(name, 0, int(tensor.size), None)
        elif items[0].channel not in FOLLOWING:
            rows = {row for item in items for row in range(item.row_offset, item.row_offset + item.rows)}
            whole = tensor.size // tensor.shape[-2] * len(rows)
            result.add(name, 0, max(whole - sum(item.values for item in items), 0), None)


def compare(
    trace: Trace,
    listing: Sequence[ListingEntry],
    golden: Mapping[str, Array],
    result_data: Array | None = None,
) -> Comparison:
    """Compare the trace of one run with the golden tensors; ``result_data``: the result as the host read it."""
    result = Comparison()
    for entry in listing:
        _compare_entry(result, entry, trace, golden)
    _not_made(result, listing, golden)
    _beyond(result, listing, trace)
    if result_data is not None:
        _compare_result(result, listing, golden, result_data)
    return result


def _beyond(result: Comparison, listing: Sequence[ListingEntry], trace: Trace) -> None:
    """Words of instructions that are not in the program."""
    for channel in ("post", "norm", "gate", "select", "move"):
        strays = int(np.count_nonzero(trace[channel]["pc"] >= len(listing)))
        if strays:
            result.add("outside the program", 0, strays, None)


def _compare_result(
    result: Comparison, listing: Sequence[ListingEntry], golden: Mapping[str, Array], data: Array
) -> None:
    """What the machine stored in memory."""
    makers = [(e, i) for e in listing for i in e.produced if i.destination is Destination.RESULT]
    if not makers:
        raise ValueError("no instruction of the program makes a result")
    store = next((entry for entry in listing if entry.opcode is Opcode.STORE), makers[0][0])
    want = np.asarray(golden[makers[0][1].tensor], dtype=np.int64)
    wrong = data != want if data.shape == want.shape else np.ones(want.shape, dtype=bool)
    first = None
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        got = int(data[at]) if data.shape == want.shape else None
        first = Mismatch(
            instruction=store.index,
            name=store.name,
            tensor=RESULT,
            index=at,
            cycle=None,
            got=got,
            want=int(want[at]),
        )
    result.add(RESULT, want.size, int(np.count_nonzero(wrong)), first)
    result.got[RESULT] = data if data.shape == want.shape else np.full(want.shape, NEVER)
    result.written[RESULT] = np.ones(want.shape, dtype=bool)
