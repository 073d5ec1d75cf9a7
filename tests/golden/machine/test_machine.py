"""The golden machine on hand-assembled programs: equal to the network on every arch, and strict about programs."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from golden.machine.machine import GoldenMachine
from golden.machine.progress import IllegalProgramError, MachineError
from golden.machine.state import TraceEntry
from golden.network import run_network
from hwgen.spec.encoding import seal
from hwgen.spec.isa import INSTRUCTION_BYTES, Counter, Destination, ErrorCode, Opcode
from hwgen.spec.presets import M3VIT_MICRO
from hwgen.spec.weight_bits import with_weight_bits
from tests.golden.hand_program import HandProgram, small_arch
from tests.golden.random_package import MINI, random_image, random_package

ARCHS = {
    "1x8x8": small_arch((1, 8, 8)),
    "4x8x16": small_arch((4, 8, 16), ports=2),
    "3x16x32": small_arch((3, 16, 32), ports=4),
    "8x16x64": small_arch((8, 16, 64)),
}
PACKAGE, IMAGE = random_package(MINI), random_image(MINI)


def run(program: HandProgram) -> tuple[GoldenMachine, np.ndarray]:
    """Machine and head codes after a run; nothing behind the result region is touched."""
    memory, pointers = program.memory(random_image(program.package.config))
    machine = GoldenMachine(program.arch, memory)
    machine.run(**pointers)
    assert np.all(memory[pointers["result"] + program.result_size :] == 0xA5)
    return machine, program.result(memory, pointers["result"])


@pytest.mark.parametrize("task", ["seg", "depth", "class"])
@pytest.mark.parametrize("arch", ARCHS)
def test_result_equals_the_network(arch: str, task: str):
    _, codes = run(HandProgram(PACKAGE, task, ARCHS[arch]))
    expected = run_network(PACKAGE, IMAGE, task)[f"heads.{task}"]
    assert np.array_equal(codes, expected)
    assert len(np.unique(codes)) > 5


@pytest.mark.parametrize("bits", ["experts=4", "*=4", "*.fc1=4,blocks.0.value=4,heads=4"])
@pytest.mark.parametrize("arch", ARCHS)
def test_four_bit_weights(arch: str, bits: str):
    """With layers of an odd number of chunks, and of a single one."""
    config = with_weight_bits(replace(MINI, dim=40, heads=1, mlp_hidden=56, expert_hidden=24), bits)
    package = random_package(config)
    _, codes = run(HandProgram(package, "seg", ARCHS[arch]))
    assert np.array_equal(codes, run_network(package, random_image(config), "seg")["heads.seg"])
    assert len(np.unique(codes)) > 5


def test_micro_equals_the_network_for_both_tasks():
    package = random_package(M3VIT_MICRO)
    for task in ("seg", "depth"):
        _, codes = run(HandProgram(package, task, ARCHS["3x16x32"]))
        assert np.array_equal(codes, run_network(package, random_image(M3VIT_MICRO), task)[f"heads.{task}"])
        assert len(np.unique(codes)) > 1000


def by_head(entry: TraceEntry, words: int) -> np.ndarray:
    """A padded query, key, value row without the padding of its heads."""
    return entry.tensor.reshape(len(entry.rows), MINI.heads, words)[:, :, : MINI.head_dim].reshape(-1, MINI.dim)


def test_trace_holds_every_tensor_of_the_network():
    expected = run_network(PACKAGE, IMAGE, "seg")
    machine, _ = run(HandProgram(PACKAGE, "seg", ARCHS["3x16x32"]))
    streams: dict[str, list[TraceEntry]] = {}
    for entry in machine.trace:
        streams.setdefault(entry.name, []).append(entry)
    assert [entry.pc for entry in machine.trace] == sorted(entry.pc for entry in machine.trace)
    compared = 0
    for block in range(MINI.depth):
        at = f"blocks.{block}"
        for name in ("query", "key", "value"):
            assert np.array_equal(by_head(streams[name][block], 32), expected[f"{at}.{name}"])
        for head in range(MINI.heads):
            assert np.array_equal(streams["score"][2 * block + head].tensor, expected[f"{at}.scores"][head])
            context = streams["context"][2 * block + head].tensor[:, :16]
            assert np.array_equal(context, expected[f"{at}.context"][:, 16 * head : 16 * head + 16])
        for place, name in enumerate(("norm1", "norm2")):
            assert np.array_equal(streams["norm"][2 * block + place].tensor, expected[f"{at}.{name}"])
        compared += 9
    residuals = [
        expected["patch_embed"][1:],
        *(expected[f"blocks.{n}"] for n in ("0.attention", "0.mlp", "1.attention")),
    ]
    for found, tensor in zip(streams["residual"], residuals, strict=True):
        assert np.array_equal(found.tensor, tensor)
    for name, tensor in (("gate", "gate"), ("experts", "experts"), ("expert_scores", "expert_scores")):
        assert np.array_equal(streams[name][0].tensor, expected[f"blocks.1.{tensor}"])
    moe = expected["blocks.1.attention"].copy()
    for entry in streams["expert"]:
        moe[entry.rows] = entry.tensor
    assert np.array_equal(moe, expected["blocks.1.moe"])
    lengths = expected["blocks.1.queue_lengths"]
    assert [len(entry.rows) for entry in streams["expert"]] == lengths[lengths > 0].tolist()
    assert np.array_equal(streams["hidden"][0].tensor, expected["blocks.0.hidden"])
    assert len(streams["row_factor"]) == 4
    assert compared == 18


def test_a_second_run_is_the_same():
    program = HandProgram(PACKAGE, "seg", ARCHS["4x8x16"])
    memory, pointers = program.memory(IMAGE)
    machine = GoldenMachine(program.arch, bytearray(memory.tobytes()))
    machine.run(**pointers)
    first, trace = program.result(machine.memory, pointers["result"]), machine.trace
    machine.memory[pointers["result"] :] = 0
    machine.run(**pointers)
    assert np.array_equal(first, program.result(machine.memory, pointers["result"]))
    assert len(trace) == len(machine.trace) > 30
    assert all(np.array_equal(a.tensor, b.tensor) for a, b in zip(trace, machine.trace, strict=True))


def first(program: HandProgram, opcode: Opcode, nth: int = 0, **fields: int) -> int:
    """Index of the nth instruction with these fields."""
    found = [
        pc
        for pc, (code, values) in enumerate(program.instructions)
        if code == opcode and all(values.get(name) == value for name, value in fields.items())
    ]
    return found[nth]


def spoil(opcode: Opcode, nth: int = 0, *, where: dict[str, int] | None = None, **change: int) -> Callable:
    """A program change: the nth matching instruction gets other fields."""

    def apply(program: HandProgram) -> int:
        pc = first(program, opcode, nth, **(where or {}))
        program.instructions[pc][1].update(change)
        return pc

    return apply


PATCH_EMBED = {"destination": int(Destination.RESIDUAL), "wait_a": int(Counter.PATCH)}
TO_KEY = {"destination": int(Destination.KEY)}
PROJ = {"destination": int(Destination.RESIDUAL), "wait_a": int(Counter.CONTEXT)}

ILLEGAL = {
    "a wait that never ends": (spoil(Opcode.LAYERNORM, 1, wait_a_base=60), "waits for RESIDUAL 60 \\+ 7"),
    "a late base": (spoil(Opcode.SCORES, 0, wait_b_base=8), "waits for KEY 8 \\+ 0, which stops at 7"),
    "an unknown counter": (spoil(Opcode.CONTEXT, 0, wait_b=13), "counter 13, which does not exist"),
    "patches not waited for": (spoil(Opcode.LINEAR, where=PATCH_EMBED, wait_a=0), "reads activation row 0 without"),
    "position not waited for": (spoil(Opcode.LINEAR, where=PATCH_EMBED, wait_b=0), "reads residual row 0 without"),
    "a base one row early": (spoil(Opcode.LAYERNORM, 1, wait_a_base=12), "reads residual row 0 without waiting for"),
    "keys not waited for": (spoil(Opcode.SCORES, 0, wait_b=0), "reads key row 0 without waiting for KEY 1"),
    "values one row early": (spoil(Opcode.CONTEXT, 0, wait_b_base=6), "reads value row 6 without waiting for VALUE 7"),
    "scores not waited for": (spoil(Opcode.CONTEXT, 1, wait_a=0), "reads score row 0 without waiting for SCORE 8"),
    "context of the first head only": (spoil(Opcode.LINEAR, where=PROJ, wait_a_base=0), "reads activation row 0 wit"),
    "a buffer that nobody wrote": (spoil(Opcode.LINEAR, where=PROJ, src_base=200), "reads activation row 0, never"),
    "more weights than loaded": (
        spoil(Opcode.LOAD_WEIGHTS, 0, weight_words=1),
        "weight ring, which holds 1 of 128 after all loads",
    ),
    "a layer larger than the ring": (
        spoil(Opcode.LINEAR, where=TO_KEY, out_tiles=1000),
        "needs 1000 words of the parameter ring",
    ),
    "more results than there are": (spoil(Opcode.STORE, beats=4000), "STORE of 64000 bytes"),
    "experts unlike the gate": (spoil(Opcode.EXPERTS, experts=3), "3 experts, the last gate had 4"),
    "too many chosen": (spoil(Opcode.LINEAR, where={"destination": 8}, top_k=5), "top_k 5 of 4 experts"),
    "an impossible destination": (spoil(Opcode.LINEAR, where=TO_KEY, destination=5), "LINEAR to destination 5"),
    "a missing table": (spoil(Opcode.LOAD_TABLE, 3, table=2), "LOAD_TABLE|uses table rsqrt, which is not loaded"),
}


@pytest.mark.parametrize("name", ILLEGAL)
def test_illegal_programs_are_refused(name: str):
    """The error names the instruction that would hang or race, and why."""
    change, message = ILLEGAL[name]
    program = HandProgram(PACKAGE, "seg", ARCHS["3x16x32"])
    pc = change(program)
    with pytest.raises(IllegalProgramError, match=message) as caught:
        run(program)
    assert caught.value.code == ErrorCode.WATCHDOG
    assert f"illegal program at pc {caught.value.pc}" in str(caught.value)
    assert caught.value.pc >= pc


OUTSIDE = {
    "residual": spoil(Opcode.LOAD_POSITION, dst_base=1020),
    "activation": spoil(Opcode.LOAD_PATCHES, dst_base=2040),
    "norm": spoil(Opcode.LAYERNORM, dst_base=1020),
    "key": spoil(Opcode.LINEAR, where=TO_KEY, dst_base=2**16 // 32**2 - 1),
    "score": spoil(Opcode.SCORES, score_base=4095),
}


@pytest.mark.parametrize("buffer", OUTSIDE)
def test_addresses_past_the_end_of_a_buffer(buffer: str):
    program = HandProgram(PACKAGE, "seg", ARCHS["3x16x32"])
    pc = OUTSIDE[buffer](program)
    with pytest.raises(MachineError, match=f"of the {buffer} buffer, which has") as caught:
        run(program)
    assert (caught.value.code, caught.value.pc) == (ErrorCode.OUT_OF_BOUNDS, pc)


def test_illegal_opcode():
    program = HandProgram(PACKAGE, "seg", ARCHS["3x16x32"])
    memory, pointers = program.memory(IMAGE)
    at = pointers["program"] + INSTRUCTION_BYTES * 9
    memory[at : at + INSTRUCTION_BYTES] = np.frombuffer(seal(0xEE, 9), np.uint8)
    with pytest.raises(MachineError, match="illegal opcode 238") as caught:
        GoldenMachine(program.arch, memory).run(**pointers)
    assert (caught.value.code, caught.value.pc) == (ErrorCode.ILLEGAL_INSTRUCTION, 9)


@pytest.mark.parametrize("bit", [0, 77, 239, 240, 255])
def test_damaged_instruction(bit: int):
    program = HandProgram(PACKAGE, "seg", ARCHS["3x16x32"])
    memory, pointers = program.memory(IMAGE)
    memory[pointers["program"] + INSTRUCTION_BYTES * 9 + bit // 8] ^= 1 << bit % 8
    with pytest.raises(MachineError, match=r"checksum 0x[0-9a-f]{4} of instruction 9") as caught:
        GoldenMachine(program.arch, memory).run(**pointers)
    assert (caught.value.code, caught.value.pc) == (ErrorCode.CHECKSUM, 9)


@pytest.mark.parametrize("pointer", ["program", "model", "image", "result"])
def test_unaligned_pointer(pointer: str):
    program = HandProgram(PACKAGE, "seg", ARCHS["3x16x32"])
    memory, pointers = program.memory(IMAGE)
    with pytest.raises(MachineError, match=f"{pointer.upper()} is 0x[0-9a-f]+, not a multiple of") as caught:
        GoldenMachine(program.arch, memory).run(**{**pointers, pointer: pointers[pointer] + 8})
    assert (caught.value.code, caught.value.pc) == (ErrorCode.UNALIGNED, 0)


def test_bound_of_the_result():
    program = HandProgram(PACKAGE, "seg", ARCHS["3x16x32"])
    memory, pointers = program.memory(IMAGE)
    before = memory.copy()
    with pytest.raises(MachineError, match="RESULT_BYTES") as caught:
        GoldenMachine(program.arch, memory).run(**pointers, result_bytes=program.result_size - 1)
    assert caught.value.code == ErrorCode.RESULT_BOUND
    assert program.instructions[caught.value.pc][0] is Opcode.STORE
    assert np.array_equal(memory, before)
    GoldenMachine(program.arch, memory).run(**pointers, result_bytes=program.result_size)
    assert not np.array_equal(memory, before)


@pytest.mark.parametrize(
    ("pointer", "code", "opcode"),
    [
        ("model", ErrorCode.AXI_READ, Opcode.LOAD_TABLE),
        ("image", ErrorCode.AXI_READ, Opcode.LOAD_PATCHES),
        ("result", ErrorCode.AXI_WRITE, Opcode.STORE),
        ("program", ErrorCode.AXI_READ, None),
    ],
)
def test_addresses_outside_memory(pointer: str, code: ErrorCode, opcode: Opcode | None):
    program = HandProgram(PACKAGE, "seg", ARCHS["3x16x32"])
    memory, pointers = program.memory(IMAGE)
    with pytest.raises(MachineError) as caught:
        GoldenMachine(program.arch, memory).run(**pointers | {pointer: memory.size // 32 * 32})
    assert caught.value.code == code
    assert caught.value.pc == (0 if opcode is None else first(program, opcode))


def test_padding_of_results_is_zero():
    """48 outputs in words of 32: the last 16 values of every row are the zero weights of the padding."""
    program = HandProgram(PACKAGE, "seg", ARCHS["3x16x32"])
    machine, _ = run(program)
    result = machine.trace[-1]
    assert result.name == "result"
    assert result.tensor.shape == (6, 64)
    assert np.all(result.tensor[:, 48:] == 0)
    assert np.all(np.any(result.tensor[:, :48] != 0, axis=1))
