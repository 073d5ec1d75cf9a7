"""Places in buffers, and errors that say how much is missing and what helps."""

import re
from dataclasses import replace

import pytest

from hwgen.compiler.allocate import allocate
from hwgen.compiler.compile import compile_model
from hwgen.compiler.errors import CompileError
from hwgen.compiler.fit import check_fit, fits, problems
from hwgen.compiler.places import Held, Lifetime, placed
from hwgen.compiler.walk import Walk
from hwgen.spec.arch import ArchConfig
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.buffers import ACTIVATION, KEY, RESIDUAL
from hwgen.spec.model import ModelConfig
from hwgen.spec.presets import M3VIT_MICRO, M3VIT_TINY
from tests.compiler.programs import CONFIGS, PAIRS, package
from tests.unchecked import unchecked

SIM = ARCHS["sim"]


@pytest.mark.parametrize(("model", "arch"), PAIRS)
def test_places_do_not_overlap(model: str, arch: str):
    """What is read later, or in the same layer, is not written over; and no place ends behind its buffer."""
    network, machine = CONFIGS[model].network, ARCHS[arch]
    for task in network.tasks:
        walk = Walk(network=network, task=task, arch=machine)
        places = allocate(walk).places
        assert all(place.end <= place.memory.words(machine) for place in places.values())
        compared = 0
        for number, layer in enumerate(walk.layers):
            written = places.get(layer.writes)
            later = {rows.tensor for reader in walk.layers[number:] for rows in reader.reads()}
            made = {item.name for before in walk.layers[:number] for item in before.tensors()}
            for other in (places[name] for name in later & made & set(places)):
                if written is None or other.memory is not written.memory or other.base == written.base == 0:
                    continue  # a residual stream stays where it is
                assert written.end <= other.base or other.end <= written.base
                compared += 1
        assert compared == CONFIGS[model].depth  # query and context


def test_first_fit():
    """A gap is taken when it is large enough, and only once its owner is not read any more."""

    def lifetime(name: str, rows: int, begins: int, ends: int) -> Lifetime:
        return Lifetime(Held(tensor=name, memory=ACTIVATION, rows=rows, words=2), begins, ends)

    lives = [
        lifetime("a", 3, 0, 1),
        lifetime("b", 1, 0, 9),
        lifetime("c", 4, 2, 9),  # the gap of a is too small
        lifetime("d", 3, 2, 3),  # ... and fits d
        lifetime("e", 1, 3, 3),  # d is read by the layer that writes e
        lifetime("f", 3, 4, 4),
    ]
    places = placed(lives, SIM, lambda old, new: True)
    assert {name: place.base for name, place in places.items()} == {"a": 0, "b": 6, "c": 8, "d": 0, "e": 16, "f": 0}
    busy = placed(lives, SIM, lambda old, new: (old, new) != ("a", "d"))  # some stage may not be done with a
    assert (busy["d"].base, busy["e"].base) == (16, 0)
    full = replace(SIM, activation_bytes=21 * SIM.output_lanes)  # where it does not fit, the program must wait
    assert placed(lives, full, lambda old, new: (old, new) != ("a", "d"))["d"].base == 0


def test_a_stream_stays_where_it_is():
    held = [
        Held(tensor="position", memory=RESIDUAL, rows=5, words=2),
        Held(tensor="other", memory=RESIDUAL, rows=5, words=2),
        Held(tensor="added", memory=RESIDUAL, rows=5, words=2, into="other"),
        Held(tensor="more", memory=RESIDUAL, rows=2, words=2),
    ]
    ends = (1, 2, 3, 3)
    lives = [Lifetime(item, number, end) for number, (item, end) in enumerate(zip(held, ends, strict=True))]
    assert [place.base for place in placed(lives, SIM, lambda old, new: True).values()] == [0, 10, 10, 0]


def test_rows_of_banks():
    """A banked buffer holds a row a bank at each address."""
    held = Held(tensor="key", memory=KEY, rows=SIM.output_lanes + 1, words=3)
    (place,) = placed([Lifetime(held, 0, 0)], SIM, lambda old, new: True).values()
    assert (place.stride, place.depth) == (3, 6)


def _message(arch: ArchConfig, config: ModelConfig = M3VIT_MICRO) -> str:
    with pytest.raises(CompileError) as caught:
        check_fit(config.name, config.network, arch)
    return str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "line"),
    [
        ("max_tokens", 64, "position: tokens 65, this arch takes 64; set max_tokens >= 65"),
        ("max_channels", 63, "position: channels 64, this arch takes 63; set max_channels >= 64"),
        ("max_inputs", 240, "blocks.0.fc2: inputs 256, this arch takes 240; set max_inputs >= 256"),
        ("max_experts", 7, "blocks.1.gate.seg: experts 8, this arch takes 7; set max_experts >= 8"),
        ("residual_bytes", 8300, "position needs 8,320 B of the residual buffer, this arch has 8,288;"),
        (
            "norm_bytes",
            4159,
            "blocks.0.norm1 needs 4,160 B of the norm buffer, this arch has 4,144; set norm_bytes >= 4160",
        ),
        ("activation_bytes", 12287, "patches needs 12,288 B of the activation buffer, this arch has 12,272;"),
        ("key_bytes", 5119, "blocks.0.key needs 5,120 B of the key buffer, this arch has 4,864; set key_bytes >= 5120"),
        (
            "value_bytes",
            4607,
            "blocks.0.value needs 4,608 B of the value buffer, this arch has 4,480; set value_bytes >= 4608",
        ),
        ("score_words", 9, "blocks.0: words of scores 10, this arch takes 8; set score_words >= 10"),
        ("ring_bytes", 20479, "heads.seg needs 20,480 B of the weight ring, this arch has 20,352; set ring_bytes >="),
        ("param_entries", 19, "heads.seg needs 20 entries of the parameter ring, this arch has 19; set param_entries"),
        ("norm_entries", 3, "blocks.0.norm1 needs 4 entries of the LayerNorm parameter ring, this arch has 3;"),
    ],
)
def test_figures(field: str, value: int, line: str):
    """The message starts with the model and the arch and holds the figures of what is missing."""
    message = _message(unchecked(SIM, **{field: value}))
    assert message.startswith("m3vit-micro does not fit arch sim:\n")
    assert line in message


def test_the_advice_helps():
    """Doing what the message says makes the model fit, whatever was too small."""
    small = {
        name: 40 if name == "max_inputs" else 3
        for name in ("max_tokens", "max_channels", "max_inputs", "max_experts", "param_entries", "norm_entries")
    }
    sizes = ("residual", "norm", "activation", "key", "value", "ring")
    arch = unchecked(SIM, **small, score_words=9, **{f"{name}_bytes": 512 for name in sizes})
    advice = re.findall(r"set (\w+) >= (\d+)", _message(arch))
    assert len({name for name, _ in advice}) == 13
    wanted: dict[str, int] = {}
    for name, value in advice:
        wanted[name] = max(wanted.get(name, 0), int(value))
    assert fits(M3VIT_MICRO.network, unchecked(arch, **wanted))
    for name, value in wanted.items():
        less = unchecked(arch, **{**wanted, name: value - 1})
        slack = {"max_inputs": SIM.output_lanes}.get(name, 1)  # whole words
        assert not fits(M3VIT_MICRO.network, unchecked(less, **{name: value - slack})), name


def test_experts_need_parameters_of_both_layers():
    config = replace(M3VIT_TINY, expert_hidden=640)
    arch = replace(ARCHS["zcu102"], param_entries=25)
    assert "blocks.1.experts.0 needs 26 entries of the parameter ring, this arch has 25" in _message(arch, config)


def test_images_that_the_gather_cannot_read():
    """48 pixels a side are the most that an instruction can say; nothing else is refused."""
    roomy = replace(ARCHS["zcu102"], max_inputs=4096, activation_bytes=2**20)
    one = replace(M3VIT_MICRO, image_height=98, image_width=98, patch=49, channels=1)
    assert problems(one.network, roomy) == ["patch side 49: the machine gathers at most 48 pixels"]
    for patch, width in ((8, 72), (24, 96), (48, 96), (1, 9), (33, 66)):
        shape = replace(one, image_height=2 * patch, image_width=width, patch=patch)
        assert problems(shape.network, roomy) == [], patch


def test_more_words_than_addresses():
    """A buffer may be large, a tensor must be addressable."""
    config = replace(M3VIT_MICRO, image_height=248, image_width=256, patch=8, expert_hidden=1024)
    message = _message(unchecked(SIM, output_lanes=8, activation_bytes=2**24), config)
    assert "blocks.1.hidden needs 127,104 words of the activation buffer, instructions address 65,536" in message


def test_compile_raises_the_same():
    with pytest.raises(CompileError, match="position: tokens 65, this arch takes 64"):
        compile_model(package("m3vit-micro"), unchecked(SIM, max_tokens=64))


def test_field_that_does_not_fit_names_the_instruction():
    good = package("m3vit-micro")
    arrays = dict(good.arrays)
    arrays["blocks.0.scores.shift"] = arrays["blocks.0.scores.shift"] + 64
    spoilt = replace(good)
    object.__setattr__(spoilt, "arrays", arrays)  # behind the check of the package
    with pytest.raises(CompileError, match=r"blocks.0.scores.0: SCORES.shift: \d+ does not fit in 6 bits"):
        compile_model(spoilt, SIM)
