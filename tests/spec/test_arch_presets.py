"""Arch presets and files."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml

from hwgen.spec.arch_presets import ARCHS
from hwgen.store.archs import arch_preset, find_arch, load_arch
from hwgen.store.boards import board, board_names
from hwgen.store.strict_yaml import ConfigError


def test_zcu102():
    arch = arch_preset("zcu102")
    assert (arch.token_lanes, arch.input_lanes, arch.output_lanes, arch.weight_ports) == (4, 16, 32, 4)
    assert arch.macs == 2048
    assert arch.ring_bytes >= 1.5 * 2**20
    rows = 197  # tokens of a 224 x 224 image
    assert arch.residual_bytes >= rows * 192 * 2
    assert arch.activation_bytes >= rows * 768
    assert arch.max_experts >= 16


def test_presets_differ():
    assert len(ARCHS) >= 5
    lanes = {(arch.token_lanes, arch.input_lanes, arch.output_lanes) for arch in ARCHS.values()}
    assert len(lanes) >= 7
    assert {arch.weight_ports for arch in ARCHS.values()} == {1, 2, 4}
    assert len({arch.ring_bytes for arch in ARCHS.values()}) >= 5
    assert all(name == arch.name for name, arch in ARCHS.items())


@pytest.mark.parametrize("name", board_names())
def test_board_default_is_a_preset(name: str):
    assert arch_preset(board(name).arch).name == board(name).arch


def test_file_round_trip(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(asdict(ARCHS["sim"])))
    assert load_arch(path) == ARCHS["sim"]
    assert find_arch(str(path)) == ARCHS["sim"]
    assert find_arch("sim") == ARCHS["sim"]


def test_file_with_a_base(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("base: sim\nring_bytes: 65536\n")
    assert load_arch(path) == replace(ARCHS["sim"], name="mine", ring_bytes=65536)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base: sim\nring_byte: 1\n", r"unknown key 'ring_byte'; did you mean 'ring_bytes'\?"),
        ("base: simm\n", r"unknown arch 'simm'; did you mean 'sim'\?"),
        ("base: sim\ntoken_lanes: 17\n", "token_lanes = 17: Input should be less than or equal to 16"),
        ("base: sim\noutput_lanes: 24\n", "output_lanes 24 must be a power-of-two multiple of input_lanes 8"),
        ("base: sim\nweight_ports: 3\n", "weight_ports 3 must be 1, 2 or 4"),
        ("name: x\n", "key 'token_lanes' is missing; add it"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_arch(path)


def test_unknown_preset():
    with pytest.raises(ConfigError, match=r"unknown arch 'zcu10'; did you mean 'zcu102'\?"):
        find_arch("zcu10")
