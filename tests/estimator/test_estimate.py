"""Estimates: array cycles by hand, a timeline that makes sense, every board with every model that fits."""

import json
import time
from dataclasses import replace

import pytest

from hwgen.compiler.errors import CompileError
from hwgen.estimator.cycles import expert_rows
from hwgen.estimator.estimate import Estimate, estimate
from hwgen.estimator.resources import memories, resources
from hwgen.spec.arch import ArchConfig
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.design import Design
from hwgen.spec.isa import Opcode, Unit
from hwgen.spec.ops import OPS
from hwgen.spec.presets import M3VIT_MICRO, M3VIT_TINY, MODELS
from hwgen.spec.timing import linear_cycles, score_cycles
from hwgen.store.archs import arch_preset
from hwgen.store.boards import board, board_names

ZCU102 = ARCHS["zcu102"]
TOO_LARGE = ("vit-tiny-384", "deit-small", "deit-base", "vit-base", "dinov2-small")  # for the boards' own machines


def tiny(arch: ArchConfig = ZCU102, **ddr: float) -> Estimate:
    zcu102 = board("zcu102")
    changed = replace(zcu102, ddr=replace(zcu102.ddr, **ddr))
    return estimate(Design(model=M3VIT_TINY, arch=arch, board=changed))


def test_array_cycles_of_tiny():
    """Sums over the network in thousands of cycles, tile rounding included."""
    found: dict[str, int] = {}
    for entry in tiny().instructions:
        if entry.opcode != "LOAD_WEIGHTS":
            part = entry.name.removeprefix("blocks.").lstrip("0123456789.").partition(".")[0]
            found[part] = found.get(part, 0) + entry.cycles
    sums = {
        "patch_embed": found["patch_embed"],
        "qkv": found["query"] + found["key"] + found["value"],
        "proj": found["proj"],
        "mlp": found["fc1"] + found["fc2"],
        "gate": found["gate"],
        "context": found["context"],
    }
    by_hand = {
        "patch_embed": 32 * 6 * 48,
        "qkv": 12 * 3 * 33 * 6 * 12,
        "proj": 12 * 33 * 6 * 12,
        "mlp": 6 * (33 * 24 * 12 + 33 * 6 * 48),
        "gate": 6 * 33 * 1 * 12,
        "context": 12 * 3 * 33 * 2 * 9,
    }
    assert sums == by_hand
    assert found["scores"] == 12 * 3 * (33 * 5 + 0) * 4  # (129 + 3) // 4 blocks of 5 steps, none left over
    assert 95_000 < found["experts"] < 130_000


def test_formulas():
    assert linear_cycles(ZCU102, 5, 3, 2) == 2 * 3 * 4  # the drain of four rows is longer than two chunks
    assert linear_cycles(ZCU102, 0, 3, 9) == 0
    assert score_cycles(ZCU102, 6, 2, 1) == (2 * 4 + 1) * 4  # fewer key tiles than lanes: steps wait
    assert expert_rows(65, 2, 8) == [17, 17, 16, 16, 16, 16, 16, 16]


def test_timeline():
    """Units run one instruction at a time; nothing ends before its work is done."""
    found = tiny()
    starts: dict[Unit, int] = {}
    for entry in found.instructions:
        unit = OPS[Opcode[entry.opcode]].unit
        assert entry.end_cycle >= entry.start_cycle
        assert entry.start_cycle >= starts.get(unit, 0)
        starts[unit] = entry.start_cycle
        if unit in (Unit.COMPUTE, Unit.NORM):
            assert entry.end_cycle - entry.start_cycle >= entry.cycles - 1
    assert found.cycles == found.instructions[-1].end_cycle
    residual_end, norms = 0, 0
    for entry in found.instructions:  # a LayerNorm ends behind the last row that it reads
        if entry.opcode == "LAYERNORM":
            assert entry.end_cycle > residual_end
            norms += 1
        elif entry.opcode != "LOAD_WEIGHTS" and entry.name.endswith(("patch_embed", "proj", "fc2", "experts")):
            residual_end = entry.end_cycle
    assert norms == 25
    assert found.macs == sum(entry.macs for entry in found.instructions)
    assert found.mac_utilisation == pytest.approx(found.macs / (2048 * found.cycles))


def test_queues_matter():
    """Work that does not hide the weights costs cycles; lengths that cannot be are refused."""
    design = Design(model=M3VIT_TINY, arch=ZCU102, board=board("zcu102"))
    names = [f"blocks.{block}.queue_lengths" for block in M3VIT_TINY.moe_blocks]
    even = expert_rows(M3VIT_TINY.tokens, M3VIT_TINY.top_k, M3VIT_TINY.experts)
    cycles = tiny().cycles
    assert estimate(design, queues={name: even for name in names}).cycles == cycles
    crowd = [M3VIT_TINY.tokens] * 2 + [0] * 14  # the weights of fourteen experts come and nobody uses them
    assert estimate(design, queues={name: crowd for name in names}).cycles > 1.1 * cycles
    with pytest.raises(ValueError, match="16 queues with 256 entries, expected 16 with 258"):
        estimate(design, queues={name: [16] * 16 for name in names})


def test_estimates_are_quick():
    begin = time.process_time()
    estimate(Design(model=MODELS["deit-tiny"], arch=ZCU102, board=board("zcu102")))
    assert time.process_time() - begin < 5


def test_tiny_is_near_both_walls():
    """Array and DDR each need about 0.4 M cycles; the whole must be above both and not far."""
    found = tiny()
    work = sum(e.cycles for e in found.instructions if OPS[Opcode[e.opcode]].unit is Unit.COMPUTE)
    ddr = found.ddr_read_bytes / 45.52
    assert max(work, ddr) < found.cycles < 1.15 * max(work, ddr)
    assert 18_000_000 < found.ddr_read_bytes < 19_500_000


def test_buffers_that_are_too_small():
    small = replace(ARCHS["sim"], activation_bytes=12000)
    with pytest.raises(CompileError, match="patches needs 12,288 B of the activation buffer, this arch has 12,000"):
        estimate(Design(model=M3VIT_MICRO, arch=small, board=board("sim")))


def test_ring_and_bandwidth_matter():
    fast, slow = tiny(efficiency=1.0).cycles, tiny(efficiency=0.4).cycles
    assert fast < tiny().cycles < slow
    assert slow > 18_000_000 / 22.76
    small_ring = tiny(replace(ZCU102, ring_bytes=300 * 1024)).cycles
    assert small_ring > 1.1 * tiny().cycles


@pytest.mark.parametrize("name", board_names())
@pytest.mark.parametrize("model", list(MODELS))
def test_every_board_and_model(name: str, model: str):
    """An estimate that is JSON, or an error that names model and arch."""
    target = board(name)
    arch = arch_preset(target.arch)
    if model != "m3vit-micro" and (name == "sim" or model in TOO_LARGE):
        with pytest.raises(CompileError, match=rf"{model} does not fit arch {arch.name}:\n"):
            estimate(Design(model=MODELS[model], arch=arch, board=target))
        return
    found = estimate(Design(model=MODELS[model], arch=arch, board=target))
    data = json.loads(json.dumps(found.to_json()))
    assert {"model", "board", "arch", "cycles", "instructions", "resources", "estimate"} <= set(data)
    assert (data["model"], data["board"], data["arch"]) == (model, name, arch.name)
    assert {"index", "name", "cycles", "macs"} <= set(data["instructions"][0])
    assert 0.3 < found.mac_utilisation < 1


@pytest.mark.parametrize("arch", list(ARCHS))
def test_micro_on_every_arch(arch: str):
    """One of the tasks by name; never faster than the array."""
    found = estimate(Design(model=M3VIT_MICRO, arch=ARCHS[arch], board=board("sim")), "depth")
    assert found.task == "depth"
    assert found.cycles > found.macs / ARCHS[arch].macs


def test_resources_of_zcu102():
    """The ring by hand: 32 beats side by side, each two block RAMs wide and six deep; half of 2048 multipliers."""
    found = resources(ZCU102)
    target = board("zcu102")
    ring = next(item for item in memories(ZCU102) if item[0] == "weight_ring")
    assert ring == ("weight_ring", 32, 3072, 128)
    assert found.bram36 >= 384
    assert found.dsp >= 1024
    for name, item in found.against(target).items():
        assert 0 < item["estimate"] <= item["guard_rail"] * item["available"], name


@pytest.mark.parametrize(("arch", "synthesised"), [("zcu102", 668), ("zcu102-4x16x32", 656), ("zcu102-6x16x32", 668)])
def test_block_rams_are_those_of_synthesis(arch: str, synthesised: int):
    """Within 4 % of what docs/resources.md says that Yosys takes."""
    assert abs(resources(ARCHS[arch]).bram36 / synthesised - 1) < 0.04


def test_one_copy_of_the_residual_is_half_of_it():
    """4,728 words of 512 bits: five deep, fifteen wide."""
    one = ARCHS["zcu102-6x16x32"]
    assert resources(replace(one, residual_copies=2)).bram36 - resources(one).bram36 == 5 * 15


def test_odd_rows_take_a_multiplier_each():
    odd = ARCHS["sim-3x8x16"]
    even = replace(odd, token_lanes=4)
    assert resources(odd).dsp == resources(even).dsp
    assert resources(replace(odd, token_lanes=2)).dsp == resources(odd).dsp - 8 * 16
