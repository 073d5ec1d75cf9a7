"""Attention whose scores do not fit: every head of a block of queries, then the next block."""

from dataclasses import replace

import pytest

from hwgen.compiler.compile import Compiled, compile_model
from hwgen.compiler.fit import fits
from hwgen.compiler.listing import ListingEntry
from hwgen.compiler.parts import Parts
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.isa import Counter, Opcode
from hwgen.spec.presets import M3VIT_MICRO
from tests.compiler.programs import CONFIGS, check_ends, package
from tests.golden.random_package import random_package
from tests.golden.test_random_graphs import check_compiled

SIM = ARCHS["sim"]


def attention(compiled: Compiled) -> list[ListingEntry]:
    """SCORES and CONTEXT of the first block of the network, and what reads them."""
    listing = compiled.programs["seg"].listing
    first = next(number for number, item in enumerate(listing) if item.opcode is Opcode.SCORES)
    last = next(number for number, item in enumerate(listing[first:], first) if item.name == "blocks.0.proj")
    return [item for item in listing[first : last + 1] if item.opcode is not Opcode.LOAD_WEIGHTS]


def test_blocks_of_queries():
    """65 keys are 5 words; two slots of 165 words hold 33 queries each, of which 32 are whole tiles of rows."""
    compiled = compile_model(package("m3vit-micro"), replace(SIM, score_words=330))
    *items, proj = attention(compiled)
    names = ["scores.0", "scores.1", "context.0"]
    blocks = ["rows0-21", "rows22-43", "rows44-64"]  # 33 tiles of two rows in three runs of at most 16
    assert [item.name.removeprefix("blocks.0.") for item in items[:3]] == [f"{name}.{blocks[0]}" for name in names]
    scores, contexts = ([item for item in items if item.opcode is code] for code in (Opcode.SCORES, Opcode.CONTEXT))
    assert [item.name for item in contexts] == [
        f"blocks.0.context.{head}.{block}" for block in blocks for head in (0, 1)
    ]
    for side in (scores, contexts):
        assert [(item.fields["slot"], item.fields["score_base"]) for item in side] == [(0, 0), (1, 165)] * 3
        assert [item.fields["rows"] for item in side] == [22, 22, 22, 22, 21, 21]
    source = scores[0].fields["src_base"]
    assert [item.fields["src_base"] - source for item in scores] == [0, 2, 88, 90, 176, 178]  # four words a query
    assert [item.fields["wait_a_base"] for item in scores] == [0, 0, 22, 22, 44, 44]
    assert [item.fields["wait_a_base"] for item in contexts] == [0, 22, 44, 66, 88, 109]
    assert (proj.fields["wait_a"], proj.fields["wait_a_base"]) == (Counter.CONTEXT, 65)
    whole = compile_model(package("m3vit-micro"), SIM).programs["seg"]
    assert compiled.programs["seg"].macs == whole.macs


def test_what_remains_is_one_query():
    """Two slots of one query each; and in whole tiles of rows as soon as one fits."""
    assert fits(M3VIT_MICRO.network, replace(SIM, score_words=10))
    assert not fits(M3VIT_MICRO.network, replace(SIM, score_words=9))
    compiled = compile_model(package("m3vit-micro"), replace(ARCHS["sim-4x8x16"], score_words=49))
    rows = [item.fields["rows"] for item in attention(compiled) if item.opcode is Opcode.SCORES]
    assert rows == [4] * 32 + [1] * 2
    compiled = compile_model(package("m3vit-micro"), replace(ARCHS["sim-4x8x16"], score_words=39))
    rows = [item.fields["rows"] for item in attention(compiled) if item.opcode is Opcode.SCORES]
    assert sorted(set(rows)) == [2, 3]


@pytest.mark.parametrize("query_rows", [1, 3, 4])
@pytest.mark.parametrize("name", ["sim-1x8x64", "sim-3x8x16", "sim-4x8x16"])
@pytest.mark.parametrize("model", ["odd", "one-head"])
def test_the_same_bits(model: str, name: str, query_rows: int):
    """Three heads, and one: then both slots are of one head."""
    compiled = compile_model(random_package(CONFIGS[model], 9), ARCHS[name], Parts(query_rows=query_rows))
    check_compiled(compiled, 9)
    check_ends(compiled)


def test_least_score_buffer():
    compiled = compile_model(random_package(M3VIT_MICRO, 4), replace(SIM, score_words=10))
    check_compiled(compiled, 4)
