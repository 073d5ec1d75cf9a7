"""The side-car is JSON and tells a reader enough to drive and decode the machine."""

import json
from dataclasses import replace

from hwgen.emit.ports import Port
from hwgen.emit.sidecar import describe
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.encoding import encode
from hwgen.spec.isa import Opcode
from hwgen.spec.registers import BY_NAME
from hwgen.store.sidecar_schema import SideCar
from tests.emit.small import ARCH

PORTS = [Port("ap_clk", "input", 1), Port("s_axi_control_awaddr", "input", 8), Port("m_axi_gmem0_araddr", "output", 64)]


def test_it_survives_json():
    data = describe(ARCH, PORTS, {"read_latency": 2})
    assert json.loads(json.dumps(data)) == json.loads(json.dumps(describe(ARCH, PORTS, {"read_latency": 2})))
    assert data["interfaces"] == ["s_axi_control", "m_axi_gmem0"]
    assert data["timing"] == {"read_latency": 2}
    names = [item["name"] for item in data["wrapper"]["ports"]]
    assert names == [*(port.name for port in PORTS), "m_axi_gmem0_arid", "m_axi_gmem0_rid"]
    assert {item["name"]: item["offset"] for item in data["registers"]} == {r.name: r.offset for r in BY_NAME.values()}


def test_it_is_what_is_declared():
    """No key is missing, and none is more; the board is added where it is written."""
    data = describe(ARCH, PORTS, {"Ring": {"write_latency": 2}}) | {"board": "sim", "clock_mhz": 100.0}
    found = SideCar.model_validate_json(json.dumps(data))
    assert len(found.instructions["LINEAR"].fields) > 15
    assert len(found.trace) > 5


def test_its_fields_decode_an_instruction():
    data = json.loads(json.dumps(describe(ARCH, PORTS, {})))
    values = {"rows": 65, "in_chunks": 8, "out_tiles": 4, "dst_base": 1234, "gelu_mult": 40000, "wait_b": 7}
    word = encode(Opcode.LINEAR, **values)
    fields = data["instructions"]["LINEAR"]["fields"]
    decoded = {name: word >> item["low"] & (1 << item["width"]) - 1 for name, item in fields.items()}
    assert {name: value for name, value in decoded.items() if value} == values
    assert word & 0xFF == data["instructions"]["LINEAR"]["code"]


def test_regions_add_up_to_the_buffers():
    regions = describe(ARCH, PORTS, {})["regions"]
    sizes = {name: item["words"] * item["word_bits"] // 8 for name, item in regions.items()}
    for name in ("residual", "norm", "activation", "key", "value"):
        assert sizes[name] == getattr(ARCH, f"{name}_bytes")
    assert sizes["weight_ring"] == ARCH.ring_bytes


def test_the_arch_id_tells_machines_apart():
    assert ARCH.arch_id == replace(ARCH).arch_id
    assert ARCH.arch_id != replace(ARCH, token_lanes=1).arch_id
    assert 0 <= ARCH.arch_id < 2**32


def test_machines_keep_their_arch_id():
    """A field that was added later counts when its machine is another one than before."""
    assert ARCHS["zcu102"].arch_id == 0x7DD62F80
    assert replace(ARCHS["zcu102"], residual_copies=1).arch_id not in (ARCHS["zcu102"].arch_id, ARCH.arch_id)
