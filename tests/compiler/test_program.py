"""What must hold for every program of every model on every machine that fits."""

import json

import pytest

from hwgen.compiler.compile import Program
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.isa import Counter, Opcode
from hwgen.spec.model import ModelConfig
from hwgen.spec.ops import OPS
from tests.compiler.programs import CONFIGS, PAIRS, brings, counts, difference, instructions, needs, programs

every_pair = pytest.mark.parametrize(("model", "arch"), PAIRS)


def test_enough_pairs():
    """All small models run on every machine, the large ones on zcu102."""
    assert len(PAIRS) >= 2 + len(ARCHS) * 3
    assert {model for model, arch in PAIRS if arch == "zcu102"} == set(CONFIGS) - {"vit-tiny"}
    assert {arch for model, arch in PAIRS if model == "m3vit-micro"} == set(ARCHS)


@every_pair
def test_waits_end(model: str, arch: str):
    """In program order, every counter has reached what an instruction waits for, and not long ago."""
    for program in programs(model, arch):
        value = dict.fromkeys(Counter, 0)
        waits = 0
        for opcode, f in instructions(program):
            if f.get("wait_a"):
                ahead = difference(value[Counter(f["wait_a"])], f["wait_a_base"])
                assert f["rows"] <= ahead <= 2 * CONFIGS[model].tokens  # scores of two heads may have been counted
                waits += 1
            if f.get("wait_b"):
                assert difference(value[Counter(f["wait_b"])], f["wait_b_base"]) == 0
                waits += 1
            counter, rows = counts(opcode, f)
            value[counter] = (value[counter] + rows) % 2**16
        assert waits >= CONFIGS[model].depth * 10


def test_bases_of_the_first_block():
    """Worked out by hand: 65 rows of position, then 64 of patches, which start at row 1."""
    program = next(programs("m3vit-micro", "sim"))
    waits = {
        entry.name: tuple(
            (Counter(entry.fields[f"wait_{side}"]).name, entry.fields[f"wait_{side}_base"])
            for side in "ab"
            if f"wait_{side}" in entry.fields
        )
        for entry in program.listing
        if entry.opcode is not Opcode.LOAD_WEIGHTS
    }
    expected = {
        "patch_embed": (("PATCH", 0), ("RESIDUAL", 65)),
        "blocks.0.norm1": (("RESIDUAL", 64),),
        "blocks.0.query": (("NORM", 0),),
        "blocks.0.value": (("NORM", 0),),
        "blocks.0.scores.1": (("QUERY", 0), ("KEY", 65)),
        "blocks.0.context.1": (("SCORE", 65), ("VALUE", 65)),
        "blocks.0.proj": (("CONTEXT", 65),),
        "blocks.0.norm2": (("RESIDUAL", 129),),
        "blocks.0.fc1": (("NORM", 65),),
        "blocks.0.fc2": (("HIDDEN", 0),),
        "blocks.1.norm1": (("RESIDUAL", 194),),
        "blocks.1.experts": (("GATE", 65),),
        "blocks.2.norm1": (("RESIDUAL", 324),),
        "norm": (("RESIDUAL", 585),),  # from row 1 on
        "heads.seg": (("NORM", 520),),
    }
    assert {name: waits[name] for name in expected} == expected


@every_pair
def test_every_reader_waits(model: str, arch: str):
    """Instructions that read rows name the counter of the buffer that they read."""
    rows = {Opcode.SCORES: Counter.QUERY, Opcode.CONTEXT: Counter.SCORE, Opcode.LAYERNORM: Counter.RESIDUAL}
    whole = {Opcode.SCORES: Counter.KEY, Opcode.CONTEXT: Counter.VALUE, Opcode.EXPERTS: Counter.GATE}
    for program in programs(model, arch):
        for opcode, f in instructions(program):
            if opcode in rows:
                assert f["wait_a"] == rows[opcode]
            if opcode in whole:
                assert f["wait_b"] == whole[opcode]
            if opcode is Opcode.LINEAR:
                assert f["wait_a"] in (
                    (Counter.PATCH, Counter.CONTEXT, Counter.HIDDEN) if f["source"] else (Counter.NORM,)
                )


@every_pair
def test_loads_match_consumers(model: str, arch: str):
    """The loads, in order, bring exactly what the consumers take, in order."""
    for program in programs(model, arch):
        code = instructions(program)
        loaded = [brings(f) for opcode, f in code if opcode is Opcode.LOAD_WEIGHTS]
        assert loaded == [need for opcode, f in code for need in needs(opcode, f)]
        assert len(loaded) >= 2 + CONFIGS[model].depth * 8


def ahead_of(code: list, queue: int) -> int:
    """Checks the rule of loads ahead; the number of consumers."""
    total = sum(opcode is Opcode.LOAD_WEIGHTS for opcode, _ in code)
    emitted = consumed = consumers = 0
    for opcode, f in code:
        if opcode is Opcode.LOAD_WEIGHTS:
            emitted += 1
            assert emitted <= consumed + queue  # the consumer of the load `queue` before this one has been emitted
        elif needs(opcode, f):
            assert emitted == min(consumed + queue, total)
            consumed += len(needs(opcode, f))
            consumers += 1
        elif opcode in (Opcode.SCORES, Opcode.CONTEXT, Opcode.STORE):
            assert emitted == min(consumed + queue, total)  # the rest of a large consumer's loads follow it directly
    assert consumed == emitted == total
    return consumers


@every_pair
def test_loads_are_ahead(model: str, arch: str):
    config = CONFIGS[model]
    for program in programs(model, arch):
        assert ahead_of(instructions(program), ARCHS[arch].load_queue) == 3 + config.depth * 8


def expected_macs(config: ModelConfig, task: str) -> int:
    """Multiplications, layer by layer."""
    n, d = config.tokens, config.dim
    attention = 4 * n * d * d + 2 * n * n * d
    mlp = 2 * n * d * config.mlp_hidden
    moe = n * d * config.experts + 2 * n * config.top_k * d * config.expert_hidden
    sparse = len(config.moe_blocks)
    head = config.task(task)
    rows = 1 if head.kind == "classification" else config.patches
    blocks = config.depth * attention + (config.depth - sparse) * mlp + sparse * moe
    return config.patches * config.patch_values * d + blocks + rows * d * head.outputs


@every_pair
def test_listing(model: str, arch: str):
    """The listing names every instruction as it is encoded, counts the work and names every tensor once."""
    for program in programs(model, arch):
        code = instructions(program)
        assert len(program.listing) == len(code)
        for entry, (opcode, f) in zip(program.listing, code, strict=True):
            assert entry.opcode is opcode
            assert entry.unit is OPS[opcode].unit
            assert {name: f[name] for name in entry.fields} == entry.fields
            assert not any(value for name, value in f.items() if name not in entry.fields)
        assert [entry.index for entry in program.listing] == list(range(len(code)))
        assert program.macs == expected_macs(CONFIGS[model], program.task)
        json.dumps([entry.to_json() for entry in program.listing])
        assert tensor_names(program) == expected_tensors(CONFIGS[model], program.task)


def tensor_names(program: Program) -> list[str]:
    names = [item.tensor for entry in program.listing for item in entry.produced]
    return list(dict.fromkeys(names))


def expected_tensors(config: ModelConfig, task: str) -> list[str]:
    names = ["patch_embed"]
    for block in range(config.depth):
        parts = ["norm1", "query", "key", "value", "scores", "context", "attention", "norm2"]
        moe = ["gate", "experts", "expert_scores", "queue_lengths", "moe"]
        names += [f"blocks.{block}.{part}" for part in parts + (moe if config.is_moe(block) else ["hidden", "mlp"])]
    return [*names, "norm", f"heads.{task}"]


def test_order_of_heads():
    """The scores of the next head run while the context of this one waits for its row factors."""
    order = {
        1: ["scores.0", "context.0"],
        2: ["scores.0", "scores.1", "context.0", "context.1"],
        3: ["scores.0", "scores.1", "context.0", "scores.2", "context.1", "context.2"],
    }
    for model in ("one-head", "m3vit-micro", "odd"):
        program = next(programs(model, "zcu102"))
        found = [
            (entry.name.removeprefix("blocks.0."), entry.fields["slot"])
            for entry in program.listing
            if entry.opcode in (Opcode.SCORES, Opcode.CONTEXT) and entry.name.startswith("blocks.0.")
        ]
        heads = CONFIGS[model].heads
        assert [name for name, _ in found] == order[heads]
        assert all(slot == int(name.rpartition(".")[2]) % 2 for name, slot in found)
