"""The AXI4-Lite register map (ap_ctrl_hs): RTL, driver, C header and documentation derive from it."""

from dataclasses import dataclass
from typing import Literal

REGISTER_ADDRESS_BITS = 8


@dataclass(frozen=True)
class Register:
    """One register of 32 or 64 bits (low word first) at a byte offset.

    ``at_start``: a run uses the value that it had when the run was accepted. ``multiple_of``: what its value must be a
    multiple of, or the run ends with ErrorCode.UNALIGNED.
    """

    name: str
    offset: int
    bits: Literal[32, 64]
    access: Literal["rw", "ro", "special"]
    meaning: str
    at_start: bool = False
    multiple_of: int = 1


def _pointer(name: str, offset: int, multiple_of: int, meaning: str) -> Register:
    return Register(name, offset, 64, "rw", f"{meaning}, multiple of {multiple_of}; taken at start", True, multiple_of)


REGISTERS: tuple[Register, ...] = (
    Register(
        "AP_CTRL",
        0x00,
        32,
        "special",
        "bit 0 start (clears when accepted), 1 done (clears on read), 2 idle, 3 ready",
    ),
    Register("GIE", 0x04, 32, "rw", "bit 0: global interrupt enable"),
    Register("IER", 0x08, 32, "rw", "bit 0: done interrupt enable"),
    Register("ISR", 0x0C, 32, "special", "bit 0: done interrupt status, write one to toggle"),
    _pointer("PROGRAM", 0x10, 32, "address of the program"),
    _pointer("MODEL", 0x18, 16, "address that offsets in the program refer to"),
    _pointer("IMAGE", 0x20, 16, "address of the planar uint8 image"),
    _pointer("RESULT", 0x28, 16, "address of the result"),
    Register(
        "WATCHDOG", 0x30, 32, "rw", "stop with an error after this many cycles (0: never); a change counts at once"
    ),
    Register("ERROR_CODE", 0x34, 32, "ro", "ErrorCode of the last run"),
    Register("ERROR_PC", 0x38, 32, "ro", "index of the instruction that failed"),
    Register("ARCH_ID", 0x3C, 32, "ro", "first 32 bits of the sha256 of the arch"),
    Register("CYCLES", 0x40, 64, "ro", "cycles from start to interrupt"),
    Register("MAC_CYCLES", 0x48, 64, "ro", "cycles in which the array multiplied"),
    Register("READ_BEATS", 0x50, 64, "ro", "16-byte beats read, all ports"),
    Register("WRITE_BEATS", 0x58, 64, "ro", "16-byte beats written"),
    Register("WAIT_OPERAND", 0x60, 32, "ro", "cycles in which the array waited for the operand loader"),
    Register("WAIT_WEIGHT", 0x64, 32, "ro", "cycles in which it waited for the weight ring"),
    Register("WAIT_DRAIN", 0x68, 32, "ro", "cycles in which it waited for the accumulators to drain"),
    Register("WAIT_DEPENDENCE", 0x6C, 32, "ro", "cycles in which it waited for a progress counter"),
    Register("ATTENTION_STEPS", 0x70, 32, "ro", "steps of the reordered attention schedule"),
    Register("ATTENTION_QUERY_READS", 0x74, 32, "ro", "most query rows read in one step"),
    Register("ATTENTION_KEY_READS", 0x78, 32, "ro", "most key tiles read in one step"),
    Register("WAIT_IDLE", 0x7C, 32, "ro", "cycles in which the compute unit had no instruction"),
    Register("RESULT_BYTES", 0x80, 32, "rw", "most bytes that one STORE may write (0: no bound); taken at start", True),
)

BY_NAME: dict[str, Register] = {register.name: register for register in REGISTERS}

# Bit positions inside the ap_ctrl_hs registers.
BITS: dict[str, dict[str, int]] = {
    "AP_CTRL": {"START": 0, "DONE": 1, "IDLE": 2, "READY": 3},
    "GIE": {"ENABLE": 0},
    "IER": {"DONE": 0},
    "ISR": {"DONE": 0},
}
