"""A small made-up program with every kind of produced tensor, golden tensors for it, and the trace it should leave."""

from dataclasses import replace

import numpy as np

from hwgen.compiler.compile import Compiled, Program
from hwgen.compiler.listing import ListingEntry, Produced
from hwgen.spec.arch import ArchConfig
from hwgen.spec.isa import Destination, Opcode
from hwgen.spec.model import ModelConfig, TaskConfig
from hwgen.spec.ops import OPS
from hwgen.spec.trace import START_PREFIX
from hwgen.store.archs import arch_preset
from sim.trace import BY_NAME, Trace, record_type
from tests.sim.mock_accelerator import Played

ARCH: ArchConfig = arch_preset("sim")
LANES = ARCH.output_lanes
TOKENS, DIM, HEADS, HIDDEN, EXPERTS, TOP_K, OUTPUTS = 5, 24, 2, 40, 4, 2, 20
CONFIG = ModelConfig(
    name="mock",
    image_height=16,
    image_width=16,
    patch=8,
    dim=DIM,
    depth=1,
    heads=HEADS,
    mlp_hidden=HIDDEN,
    tasks=(
        TaskConfig(name="seg", kind="segmentation", classes=OUTPUTS),
        TaskConfig(name="depth", kind="depth", classes=OUTPUTS),
    ),
)


def _post(tensor: str, destination: Destination, rows: int, values: int, **others: object) -> Produced:
    words = ARCH.words(values)
    base = Produced(
        tensor=tensor,
        channel="post",
        destination=destination,
        shape=(rows, values),
        rows=rows,
        group_values=values,
        group_words=words,
    )
    return replace(base, **others)


def listing() -> list[ListingEntry]:
    """Eight instructions: rows, heads with padding, scores, LayerNorm, gate, experts, result, end."""
    head = {"groups": HEADS, "group_values": DIM // HEADS, "group_words": 1, "shape": (TOKENS, DIM)}
    norm = replace(_post("norm1", Destination.QUERY, TOKENS, DIM), channel="norm", destination=None)
    choice = [
        Produced(tensor=name, channel="gate", destination=None, shape=shape, rows=TOKENS)
        for name, shape in (
            ("m.experts", (TOKENS, TOP_K)),
            ("m.expert_scores", (TOKENS, TOP_K)),
            ("m.queue_lengths", (EXPERTS,)),
        )
    ]
    scores = [
        _post("scores", Destination.SCORE, TOKENS, TOKENS, shape=(HEADS, TOKENS, TOKENS), index=(head_,))
        for head_ in range(HEADS)
    ]
    steps: list[tuple[Opcode, str, list[Produced]]] = [
        (Opcode.LAYERNORM, "norm1", [norm]),
        (Opcode.LINEAR, "query", [_post("query", Destination.QUERY, TOKENS, DIM, **head)]),
        (Opcode.SCORES, "scores.0", [scores[0]]),
        (Opcode.SCORES, "scores.1", [scores[1]]),
        (Opcode.LINEAR, "gate", [_post("m.gate", Destination.GATE, TOKENS, EXPERTS), *choice]),
        (Opcode.EXPERTS, "moe", [_post("moe", Destination.EXPERT, TOKENS, DIM)]),
        (Opcode.LINEAR, "heads.seg", [_post("heads.seg", Destination.RESULT, TOKENS - 1, OUTPUTS)]),
        (Opcode.STORE, "store", []),
        (Opcode.END, "end", []),
    ]
    return [
        ListingEntry(
            index=index,
            opcode=opcode,
            unit=OPS[opcode].unit,
            name=name,
            fields={},
            macs=100 * index,
            produced=tuple(produced),
        )
        for index, (opcode, name, produced) in enumerate(steps)
    ]


def golden(seed: int = 0) -> dict[str, np.ndarray]:
    """Random values of the right ranges; the gate's tensors agree with each other."""
    rng = np.random.default_rng(seed)
    experts = np.sort(np.stack([rng.permutation(EXPERTS)[:TOP_K] for _ in range(TOKENS)]), axis=1)
    return {
        "norm1": rng.integers(-127, 128, (TOKENS, DIM)),
        "query": rng.integers(-127, 128, (TOKENS, DIM)),
        "scores": rng.integers(-512, 512, (HEADS, TOKENS, TOKENS)),
        "m.gate": rng.integers(-32768, 32768, (TOKENS, EXPERTS)),
        "m.experts": experts,
        "m.expert_scores": rng.integers(0, 32769, (TOKENS, TOP_K)),
        "m.queue_lengths": np.bincount(experts.ravel(), minlength=EXPERTS),
        "moe": rng.integers(-32768, 32768, (TOKENS, DIM)),
        "heads.seg": rng.integers(-32768, 32768, (TOKENS - 1, OUTPUTS)),
    }


def _packed(values: np.ndarray, bits: int) -> int:
    return sum((int(value) & (1 << bits) - 1) << bits * lane for lane, value in enumerate(values))


def _words(entry: ListingEntry, item: Produced, tensor: np.ndarray) -> list[Played]:
    bits = BY_NAME[item.channel].lane_bits
    played: list[Played] = []
    for (row, word), _ in np.ndenumerate(np.empty((item.rows, item.words))):
        data = _packed(item.as_words(tensor, LANES)[row, word], bits)
        fields = {"pc": entry.index, "row": row, "word": word}
        if item.destination is not None:
            fields["destination"] = int(item.destination)
        if item.destination is Destination.EXPERT:  # an earlier expert's sum, and its hidden row: both do not count
            played.append(Played("post", fields | {"destination": int(Destination.HIDDEN)}, 3))
            played.append(Played(item.channel, fields, data ^ 1))
        played.append(Played(item.channel, fields, data))
    return played


def script(tensors: dict[str, np.ndarray]) -> list[Played]:
    """The records of a machine that computes ``tensors``."""
    played: list[Played] = []
    for entry in listing():
        if entry.opcode is not Opcode.END:
            played.append(Played(f"{START_PREFIX}{entry.unit.name.lower()}", {"pc": entry.index}))
        for item in entry.produced:
            if item.channel != "gate":
                played += _words(entry, item, tensors[item.tensor])
        if entry.name == "gate":
            for token, place in reversed(list(np.ndindex(TOKENS, TOP_K))):
                expert, score = tensors["m.experts"][token, place], tensors["m.expert_scores"][token, place]
                fields = {"pc": entry.index, "token": token, "expert": int(expert), "score": int(score)}
                played.append(Played("gate", fields))
    return played


def trace_of(played: list[Played]) -> Trace:
    """The records as :func:`sim.trace.read_trace` would read them, one a cycle."""
    trace: Trace = {}
    for name, channel in BY_NAME.items():
        kind = record_type(channel, LANES)
        found = [(cycle, item) for cycle, item in enumerate(played) if item.channel == name]
        records = np.zeros(len(found), kind)
        for index, (cycle, item) in enumerate(found):
            records[index]["cycle"] = cycle
            for field, value in item.fields.items():
                records[index][field] = value
            if channel.lane_bits:
                raw = item.data.to_bytes(LANES * channel.lane_bits // 8, "little")
                records[index]["data"] = np.frombuffer(raw, f"<i{channel.lane_bits // 8}")
        trace[name] = records
    return trace


def compiled() -> Compiled:
    """What the compiler would hand over."""
    size = ARCH.words(OUTPUTS) * LANES * 2 * (TOKENS - 1)
    programs = {
        task.name: Program(
            task=task.name,
            words=(1,),
            offset=0,
            listing=tuple(listing()),
            result_rows=TOKENS - 1,
            result_outputs=OUTPUTS,
            result_bytes=size,
        )
        for task in CONFIG.tasks
    }
    image = np.arange(256, dtype=np.uint8)
    return Compiled(config=CONFIG, arch=ARCH, image=image, manifest=(), programs=programs)
