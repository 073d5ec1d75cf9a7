"""The C header of a machine: registers, control bits, error codes, opcodes and four small functions."""

from hwgen.emit.templates import render
from hwgen.spec.arch import ArchConfig
from hwgen.spec.isa import INSTRUCTION_BYTES, ErrorCode, Opcode
from hwgen.spec.registers import BITS, REGISTER_ADDRESS_BITS, REGISTERS

TOP = "hwgen_accelerator"  # name of the Verilog top module


def emit(arch: ArchConfig) -> str:
    """Text of ``hwgen.h``."""
    return render(
        "hwgen.h.j2",
        top=TOP,
        arch=arch.name,
        arch_id=f"0x{arch.arch_id:08X}",
        register_bytes=f"0x{1 << REGISTER_ADDRESS_BITS:X}",
        registers=[
            {
                "name": register.name,
                "offset": f"0x{register.offset:02X}",
                "bits": register.bits,
                "access": register.access,
                "meaning": register.meaning,
            }
            for register in REGISTERS
        ],
        bits=[
            {"register": register, "name": name, "mask": f"0x{1 << position:X}"}
            for register, names in BITS.items()
            for name, position in names.items()
        ],
        errors=[{"name": code.name, "code": int(code)} for code in ErrorCode],
        opcodes=[{"name": opcode.name, "code": int(opcode)} for opcode in Opcode],
        instruction_bytes=INSTRUCTION_BYTES,
    )
