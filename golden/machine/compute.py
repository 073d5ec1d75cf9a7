"""The unified compute unit of the golden machine: LINEAR, SCORES, CONTEXT and EXPERTS on the machine's buffers."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from golden.gate import gate
from golden.gelu import hidden
from golden.linear import accumulate, add_residual, add_scored
from golden.machine.buffers import Region
from golden.machine.progress import Guard, IllegalProgramError
from golden.machine.state import Fields, MachineState
from golden.machine.tokens import observe
from golden.queues import ExpertQueue, expert_queues
from golden.rounding import Integers, requant, sat8, sat10, sat16
from golden.softmax import SoftmaxStatistics, probabilities, row_factor, softmax_statistics
from hwgen.spec.arch import ArchConfig
from hwgen.spec.destinations import DESTINATIONS
from hwgen.spec.isa import Counter, Destination, Opcode, Source, Unit
from hwgen.spec.tables import Int64Array


class Params(NamedTuple):
    """Parameters of the channels of one layer."""

    bias: Int64Array
    mult: Int64Array
    shift: Int64Array


def parse_params(entries: NDArray[np.uint8]) -> Params:
    """Ring entries [entries, output_lanes * 8] as parameters of consecutive channels; ``mult`` unsigned."""
    channel = np.dtype([("bias", "<i4"), ("mult", "<u2"), ("shift", "u1"), ("zero", "u1")])
    parsed = np.ascontiguousarray(entries).reshape(-1).view(channel)
    return Params(*(parsed[name].astype(np.int64) for name in ("bias", "mult", "shift")))


def parse_weights(
    words: NDArray[np.uint8], out_tiles: int, in_chunks: int, arch: ArchConfig, *, int4: bool = False
) -> NDArray[np.int8]:
    """Ring words, tiles in the order (output tile, input chunk), as a weight matrix [out, in].

    ``int4``: low nibbles are the even chunks of an output tile, high nibbles the odd ones.
    """
    tiles = words
    if int4:
        nibbles = np.stack([words << 4, words], axis=1).view(np.int8) >> 4
        tiles = nibbles.reshape(out_tiles, -1, words.shape[1])[:, :in_chunks].copy()
    split = tiles.view(np.int8).reshape(out_tiles, in_chunks, arch.input_lanes, arch.output_lanes)
    return split.transpose(0, 3, 1, 2).reshape(out_tiles * arch.output_lanes, in_chunks * arch.input_lanes)


class _Layer(NamedTuple):
    weight: NDArray[np.int8]
    params: Params

    def requant(self, rows: Int64Array) -> Int64Array:
        """Requantised products of rows [n, in], not saturated."""
        return requant(accumulate(rows[:, : self.weight.shape[1]], self.weight), *self.params)


def _take_layer(state: MachineState, guard: Guard, out_tiles: int, in_chunks: int, rows: int, *, int4: bool) -> _Layer:
    """The next layer of the rings; with more than one tile of rows, its words are read again for each."""
    tile_words = (in_chunks + 1) // 2 if int4 else in_chunks
    needs = [(state.params, out_tiles), (state.weights, out_tiles * tile_words)]
    entries, words = state.take(guard, needs, together=rows > state.arch.token_lanes)
    return _Layer(parse_weights(words, out_tiles, in_chunks, state.arch, int4=int4), parse_params(entries))


def _chunk_words(chunks: int, arch: ArchConfig) -> int:
    """Words that hold ``chunks`` input chunks."""
    return -(-chunks // arch.subwords)


def _counts(state: MachineState, counter: Counter, rows: int) -> Int64Array:
    """Progress at which each of the next ``rows`` rows may be read; advances the counter."""
    first = int(state.progress.count[counter])
    state.progress.advance(counter, rows)
    return np.arange(first + 1, first + rows + 1)


def linear(state: MachineState, guard: Guard, f: Fields) -> None:
    """LINEAR: rows of a buffer times ring weights, finished as the destination says."""
    rows = np.arange(f["rows"])
    source = state.norm if f["source"] == Source.NORM else state.activation
    region = Region(rows, f["src_base"], f["src_stride"], _chunk_words(f["in_chunks"], state.arch))
    x = guard.read(source, region, by_row=True)
    layer = _take_layer(state, guard, f["out_tiles"], f["in_chunks"], f["rows"], int4=bool(f["int4"]))
    finish = _FINISH.get(f["destination"])
    if finish is None:
        raise IllegalProgramError(guard.pc, f"LINEAR to destination {f['destination']}")
    finish(state, guard, f, layer.requant(x))


def _hidden(state: MachineState, guard: Guard, f: Fields, acc: Int64Array) -> Int64Array:
    """Codes behind GELU; lanes past the last channel hold the zero point."""
    return hidden(state.table(guard, "gelu"), sat16(acc), f["gelu_mult"], f["gelu_shift"], f["zero"])


def _finish_int8(state: MachineState, guard: Guard, f: Fields, acc: Int64Array) -> None:
    """Destinations QUERY, KEY, VALUE and HIDDEN."""
    destination = Destination(f["destination"])
    info = DESTINATIONS[destination]
    assert info.buffer is not None  # of these four
    buffer = state.buffers[info.buffer.name]
    values = _hidden(state, guard, f, acc) if destination == Destination.HIDDEN else sat8(acc)
    counter = info.counter
    rows = np.arange(f["rows"])
    region = Region(rows, f["dst_base"], f["dst_stride"], f["out_tiles"])
    buffer.write(region, values, Unit.COMPUTE, counter, _counts(state, counter, f["rows"]))
    state.keep(guard, destination.name.lower(), rows, values)


def _finish_residual(state: MachineState, guard: Guard, f: Fields, acc: Int64Array) -> None:
    rows = np.arange(f["rows"])
    region = Region(rows, f["dst_base"], f["dst_stride"], f["out_tiles"])
    values = add_residual(guard.read(state.residual, region, own_writes=True), acc)
    counts = _counts(state, Counter.RESIDUAL, f["rows"])
    state.residual.write(region, values, Unit.COMPUTE, Counter.RESIDUAL, counts)
    state.keep(guard, "residual", rows, values)


def _finish_gate(state: MachineState, guard: Guard, f: Fields, acc: Int64Array) -> None:
    logits = sat16(acc)[:, : f["experts"]]
    if not 1 <= f["top_k"] <= f["experts"] <= min(state.arch.max_experts, acc.shape[1]):
        raise IllegalProgramError(guard.pc, f"gate with top_k {f['top_k']} of {f['experts']} experts")
    tables = state.table(guard, "gate_exp2"), state.table(guard, "reciprocal")
    chosen, score = gate(*tables, logits, f["top_k"], renormalise=bool(f["renormalise"]))
    state.queues = expert_queues(chosen, score, f["experts"])
    state.progress.advance(Counter.GATE, f["rows"])
    for name, tensor in (("gate", logits), ("experts", chosen), ("expert_scores", score)):
        state.keep(guard, name, np.arange(f["rows"]), tensor)


def _finish_result(state: MachineState, guard: Guard, f: Fields, acc: Int64Array) -> None:
    """Tiles drain in the order (tile of rows, output tile, row)."""
    values, lanes = sat16(acc), state.arch.token_lanes
    tiles = values.reshape(f["rows"], f["out_tiles"], -1).astype("<i2")
    for first in range(0, f["rows"], lanes):
        state.results.append(np.ascontiguousarray(tiles[first : first + lanes].transpose(1, 0, 2)).tobytes())
    state.progress.advance(Counter.RESULT, f["rows"])
    state.keep(guard, "result", np.arange(f["rows"]), values)


_FINISH: dict[int, Callable[[MachineState, Guard, Fields, Int64Array], None]] = {
    Destination.QUERY: _finish_int8,
    Destination.KEY: _finish_int8,
    Destination.VALUE: _finish_int8,
    Destination.HIDDEN: _finish_int8,
    Destination.RESIDUAL: _finish_residual,
    Destination.GATE: _finish_gate,
    Destination.RESULT: _finish_result,
}


def _factor_region(state: MachineState, guard: Guard, f: Fields, rows: Int64Array) -> Region:
    if f["rows"] > state.arch.max_tokens:
        raise IllegalProgramError(guard.pc, f"{f['rows']} queries, at most {state.arch.max_tokens} row factors a slot")
    return Region(rows, f["slot"] * state.arch.max_tokens, 1, 1)


def _products(state: MachineState, guard: Guard, f: Fields) -> Int64Array:
    """q.k; a multiplier of zero makes nothing of them, so that they may be of words that nobody has written."""
    if f["mult"] == 0:
        return np.zeros((f["rows"], f["keys"]), dtype=np.int64)
    rows, keys = np.arange(f["rows"]), np.arange(f["keys"])
    words, inputs = _chunk_words(f["in_chunks"], state.arch), f["in_chunks"] * state.arch.input_lanes
    query = guard.read(state.activation, Region(rows, f["src_base"], f["src_stride"], words), by_row=True)
    key = guard.read(state.key, Region(keys, f["key_offset"], f["key_stride"], words))
    return accumulate(query[:, :inputs], key[:, :inputs])


def attention_scores(state: MachineState, guard: Guard, f: Fields) -> None:
    """SCORES: q.k of one head into the score buffer, and the row factors."""
    arch, rows = state.arch, np.arange(f["rows"])
    score = sat10(requant(_products(state, guard, f), f["bias"], f["mult"], f["shift"]))
    statistics = softmax_statistics(state.table(guard, "exp2"), score)
    factor = row_factor(state.table(guard, "reciprocal"), statistics, f["context_mult"], f["context_shift"])
    factors = np.stack([statistics.top, *factor], axis=1)
    counts, tiles = _counts(state, Counter.SCORE, f["rows"]), arch.words(f["keys"])
    padded = np.pad(score, ((0, 0), (0, tiles * arch.output_lanes - f["keys"])))
    region = Region(rows, f["score_base"], tiles, tiles)
    state.score.write(region, padded, Unit.COMPUTE, Counter.SCORE, counts)
    factor_region = _factor_region(state, guard, f, rows)
    state.row_factor.write(factor_region, factors, Unit.COMPUTE, Counter.SCORE, counts)
    observe(state, guard, f, score)
    state.keep(guard, "score", rows, score)
    state.keep(guard, "row_factor", rows, factors)


def attention_context(state: MachineState, guard: Guard, f: Fields) -> None:
    """CONTEXT: probabilities from the score buffer times the values of one head."""
    arch, rows, keys = state.arch, np.arange(f["rows"]), np.arange(f["keys"])
    tiles = arch.words(f["keys"])
    score = guard.read(state.score, Region(rows, f["score_base"], tiles, tiles), by_row=True)[:, : f["keys"]]
    factors = guard.read(state.row_factor, _factor_region(state, guard, f, rows), by_row=True)
    value = guard.read(state.value, Region(keys, f["value_offset"], f["value_stride"], f["out_tiles"]))
    statistics = SoftmaxStatistics(top=factors[:, 0], total=np.zeros(0, dtype=np.int64))
    weight = probabilities(state.table(guard, "exp2"), score, statistics.top)
    out = sat8(requant(accumulate(weight, value.T), 0, factors[:, 1:2], factors[:, 2:3]))
    region = Region(rows, f["dst_base"], f["dst_stride"], f["out_tiles"])
    state.activation.write(region, out, Unit.COMPUTE, Counter.CONTEXT, _counts(state, Counter.CONTEXT, f["rows"]))
    state.keep(guard, "context", rows, out)


def experts(state: MachineState, guard: Guard, f: Fields) -> None:
    """EXPERTS: both layers of every expert over its token queue; an empty queue only frees the weights."""
    if f["experts"] != len(state.queues):
        raise IllegalProgramError(guard.pc, f"{f['experts']} experts, the last gate had {len(state.queues)}")
    done = int(state.progress.count[Counter.RESIDUAL]) + 1  # all rows are counted at once
    for queue in state.queues:
        rows = queue.tokens.size
        first = _take_layer(state, guard, f["hidden_tiles"], f["in_chunks"], rows, int4=bool(f["int4_first"]))
        second = _take_layer(state, guard, f["out_tiles"], f["hidden_chunks"], rows, int4=bool(f["int4_second"]))
        if rows:
            _expert(state, guard, f, queue, (first, second), done)
    state.progress.advance(Counter.RESIDUAL, f["rows"])


def _expert(
    state: MachineState, guard: Guard, f: Fields, queue: ExpertQueue, layers: tuple[_Layer, _Layer], done: Integers
) -> None:
    """One expert; its hidden rows lie in the activation buffer by queue position."""
    words = _chunk_words(f["in_chunks"], state.arch)
    x = guard.read(state.norm, Region(queue.tokens, f["src_base"], f["src_stride"], words))
    rows = _hidden(state, guard, f, layers[0].requant(x))
    place = np.arange(queue.tokens.size)
    region = Region(place, f["hidden_base"], f["hidden_stride"], f["hidden_tiles"])
    state.activation.write(region, rows, Unit.COMPUTE, Counter.NONE, 0)
    state.keep(guard, "hidden", place, rows)
    target = Region(queue.tokens, f["dst_base"], f["dst_stride"], f["out_tiles"])
    before = guard.read(state.residual, target, own_writes=True)
    after = add_scored(before, layers[1].requant(rows), queue.scores)
    state.residual.write(target, after, Unit.COMPUTE, Counter.RESIDUAL, done)
    state.keep(guard, "expert", queue.tokens, after)


COMPUTE: dict[Opcode, Callable[[MachineState, Guard, Fields], None]] = {
    Opcode.LINEAR: linear,
    Opcode.SCORES: attention_scores,
    Opcode.CONTEXT: attention_context,
    Opcode.EXPERTS: experts,
}
