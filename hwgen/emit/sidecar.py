"""What other tools must know of an emitted machine, as data: nobody mirrors a list by hand."""

from dataclasses import asdict
from typing import Any

from hwgen.emit.c_header import TOP
from hwgen.emit.ports import Port, interfaces
from hwgen.emit.vivado import WRAPPER, wrapper_ports
from hwgen.spec.arch import BEAT_BYTES, ArchConfig
from hwgen.spec.buffers import MEMORIES
from hwgen.spec.isa import INSTRUCTION_BYTES
from hwgen.spec.ops import OPS
from hwgen.spec.registers import BITS, REGISTERS
from hwgen.spec.tables import TABLES
from hwgen.spec.trace import CHANNELS

FORMAT = 1  # version of this file's layout


def _regions(arch: ArchConfig) -> dict[str, dict[str, int]]:
    """Memories of the machine: words, and bits of one word (all banks side by side)."""
    return {
        name: {"words": memory.words(arch), "word_bits": memory.word_bits(arch) * memory.bank_count(arch)}
        for name, memory in MEMORIES.items()
    }


def _trace() -> dict[str, Any]:
    """Debug paths: wires below the top, and the fields of each channel."""
    return {
        channel.name: {
            "valid": f"{TOP}.core.trace.{channel.name}__valid",
            "fields": {
                item.name: {"path": f"{TOP}.core.trace.{channel.name}__{item.name}", "bits": item.bits}
                for item in channel.fields
            },
            "data": f"{TOP}.core.trace.{channel.name}__data" if channel.lane_bits else None,
            "lane_bits": channel.lane_bits,
        }
        for channel in CHANNELS
    }


def describe(arch: ArchConfig, ports: list[Port], timing: dict[str, Any]) -> dict[str, Any]:
    """The side-car of a machine; ``timing`` is what its units say of their latencies."""
    return {
        "format": FORMAT,
        "top": TOP,
        "arch": asdict(arch) | {"arch_id": arch.arch_id, "macs": arch.macs},
        "ports": [asdict(port) for port in ports],
        "wrapper": {"top": WRAPPER, "ports": [asdict(port) for port in wrapper_ports(ports)]},
        "interfaces": list(interfaces(ports)),
        "beat_bytes": BEAT_BYTES,
        "registers": [asdict(register) for register in REGISTERS],
        "register_bits": BITS,
        "instruction_bytes": INSTRUCTION_BYTES,
        "instructions": {
            item.opcode.name: {
                "code": int(item.opcode),
                "unit": item.unit.name,
                "fields": {
                    name: {"low": low, "width": spec.width, "signed": spec.signed}
                    for name, (low, spec) in item.offsets().items()
                },
            }
            for item in OPS.values()
        },
        "tables": [asdict(table) for table in TABLES],
        "regions": _regions(arch),
        "timing": timing,
        "trace": _trace(),
    }
