"""Every size that a machine may have can be made, every other is refused by name, and advice can be followed."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from hwgen.compiler.errors import CompileError
from hwgen.compiler.fit import check_fit
from hwgen.emit.verilog import emit
from hwgen.rtl.memory.activation_buffers import RowBuffer
from hwgen.rtl.memory.ring import Ring
from hwgen.spec.arch import ArchConfig
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.presets import M3VIT_MICRO
from hwgen.store.archs import load_arch
from hwgen.store.strict_yaml import ConfigError
from sim.toolchain import lint
from tests.unchecked import unchecked

SIM = ARCHS["sim"]
BUFFERS = sorted(SIM.word_bytes)
COUNTS = ("max_tokens", "max_inputs", "max_channels", "max_experts", "param_entries", "norm_entries", "result_beats")
RINGS = ("ring_bytes", "param_entries", "norm_entries")


def changed(**fields: int) -> ArchConfig:
    return ArchConfig(**(asdict(SIM) | fields))


@pytest.mark.parametrize("field", [*BUFFERS, *COUNTS])
def test_sizes_outside_the_limits_are_refused_by_name(field: str):
    least, most = SIM.limits(field)
    assert 0 < least < most
    for value in (least, most):
        assert getattr(changed(**{field: value}), field) == value
    for value in (-1, 0, least - 1, most + 1, 10**300, 16**5000):
        with pytest.raises(ValueError, match=field) as found:
            changed(**{field: value})
        assert len(str(found.value)) < 1000


def test_limits_are_those_of_the_memories():
    for field in RINGS:
        sizes = [size // SIM.word_bytes.get(field, 1) for size in SIM.limits(field)]
        for words in sizes:
            assert Ring(words, 128, 1).depth_words == words
        for words in (sizes[0] - 1, sizes[1] + 1):
            with pytest.raises(ValueError, match="depth_words must be in"):
                Ring(words, 128, 1)
    for field in set(BUFFERS) - set(RINGS):
        most = SIM.limits(field)[1] // SIM.word_bytes[field]
        RowBuffer(most, 8)
        with pytest.raises(ValueError, match="depth must be"):
            RowBuffer(most + 1, 8)


def test_the_smallest_machine_has_verilog(tmp_path: Path):
    """Memories of one word, whose addresses have no bits, and queues of one entry."""
    least = {field: SIM.limits(field)[0] for field in (*BUFFERS, *COUNTS)}
    text = emit(changed(**least, load_queue=2, burst_beats=1, outstanding=1))
    path = tmp_path / "hwgen_accelerator.v"
    path.write_text(text)
    found = lint([path], "hwgen_accelerator")
    assert len(found) > 10  # it has been read to its end, and -Wall always has something to say
    assert [line for line in found if line.startswith("%Error")] == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("norm_entries: 1", "norm_entries = 1: Input should be greater than or equal to 2"),
        ("param_entries: 1", "param_entries = 1: Input should be greater than or equal to 2"),
        ("ring_bytes: 8388608", "ring_bytes 8388608 must be in 256..4194303: 2 to 32767 words of 128 B"),
        ("key_bytes: 255", "key_bytes 255 must be in 256..16777471: 1 to 65536 words of 256 B"),
        ("score_words: 1", "score_words 1 must be in 2..65536"),
    ],
)
def test_a_file_with_such_a_size(tmp_path: Path, text: str, says: str):
    path = tmp_path / "mine.yaml"
    path.write_text(f"base: sim\n{text}\n")
    with pytest.raises(ConfigError) as found:
        load_arch(path)
    assert str(found.value).startswith(f"{path}: {says}")


def test_advice_is_never_below_the_least_value():
    narrow = replace(M3VIT_MICRO, dim=16, heads=1)
    with pytest.raises(CompileError, match=r"set norm_entries >= 2$"):
        check_fit(narrow.name, narrow.network, unchecked(SIM, norm_entries=0))


def test_a_network_that_fits_no_machine_is_told_so():
    many = replace(M3VIT_MICRO, experts=40)
    says = "max_experts reaches 32, so that the network fits no machine with these lanes"
    with pytest.raises(CompileError) as found:
        check_fit(many.name, many.network, SIM)
    assert str(found.value).splitlines()[1] == f"  blocks.1.gate.seg: experts 40, this arch takes 8; {says}"
    assert "set max_experts" not in str(found.value)


def test_a_ring_that_no_machine_has():
    hungry = replace(M3VIT_MICRO, dim=1024, heads=16, expert_hidden=65536)
    with pytest.raises(CompileError) as found:
        check_fit(hungry.name, hungry.network, SIM)
    says = "experts.fc1 needs 67,108,864 B of the weight ring, this arch has 32,768; ring_bytes reaches 4,194,303"
    assert says in str(found.value)
