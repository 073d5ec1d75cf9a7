"""The side-car of an emitted machine, declared: ``hwgen_accelerator.json`` holds these keys and no others."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from hwgen.store.report_schema import key


class Entry(BaseModel):
    """A JSON object whose keys are all declared."""

    model_config = ConfigDict(extra="forbid", strict=True)


class PortEntry(Entry):
    """One port of the top module."""

    name: str = key("name in the Verilog")
    direction: Literal["input", "output"] = key("seen from the machine")
    width: int = key("bits")


class RegisterEntry(Entry):
    """One register of the AXI4-Lite window."""

    name: str = key("name")
    offset: int = key("bytes from the start of the window")
    bits: Literal[32, 64] = key("width; 64: low word first")
    access: Literal["rw", "ro", "special"] = key("what the host may do")
    meaning: str = key("what it holds")
    at_start: bool = key("a run uses the value that it had when the run was accepted")
    multiple_of: int = key("what its value must be a multiple of")


class FieldEntry(Entry):
    """One field of an instruction."""

    low: int = key("lowest bit")
    width: int = key("bits")
    signed: bool = key("two's complement")


class InstructionEntry(Entry):
    """One instruction."""

    code: int = key("opcode, bits 7..0")
    unit: str = key("unit that runs it")
    fields: dict[str, FieldEntry] = key("its fields by name")


class TableEntry(Entry):
    """One function table."""

    name: str = key("name")
    index: int = key("id that LOAD_TABLE names")
    words: int = key("32-bit entries")
    base: list[int] = key("smallest and largest base")
    slope: list[int] = key("smallest and largest slope")
    why: str = key("of the bases' range")
    chord_bits: int = key("fraction bits of chords that must stay in the bases' range; 0: none")
    first: int | None = key("what entry 0 must be; null: anything")


class RegionEntry(Entry):
    """One memory on the chip."""

    words: int = key("addresses")
    word_bits: int = key("bits of one word, all banks side by side")


class TracedField(Entry):
    """One field of a trace channel."""

    path: str = key("wire below the top")
    bits: int = key("width")


class ChannelEntry(Entry):
    """A debug path: what one stage did in a cycle."""

    valid: str = key("wire that is 1 in cycles with a record")
    fields: dict[str, TracedField] = key("fields of the record")
    data: str | None = key("wire of the lanes' values; null: it has none")
    lane_bits: int = key("bits of one lane")


class WrapperEntry(Entry):
    """The wrapper around the machine, with the ids that other AXI masters and memories ask for."""

    top: str = key("name of its Verilog module")
    ports: list[PortEntry] = key("its ports")


class SideCar(Entry):
    """``hwgen_accelerator.json``."""

    format: int = key("version of this layout")
    top: str = key("name of the Verilog top module")
    board: str = key("board")
    clock_mhz: float | int = key("clock")
    arch: dict[str, Any] = key(
        "every field of the machine (`hwgen/spec/arch.py`), its `arch_id` and its `macs` a cycle"
    )
    ports: list[PortEntry] = key("ports of the top module, in the order of its header")
    wrapper: WrapperEntry = key("the module that Vivado and cocotb take")
    interfaces: list[str] = key("AXI interfaces, in the order of their ports")
    beat_bytes: int = key("bytes of one AXI beat")
    registers: list[RegisterEntry] = key("the register map")
    register_bits: dict[str, dict[str, int]] = key("named bits of registers")
    instruction_bytes: int = key("bytes of one instruction")
    instructions: dict[str, InstructionEntry] = key("every instruction by name")
    tables: list[TableEntry] = key("function tables")
    regions: dict[str, RegionEntry] = key("memories on the chip")
    timing: dict[str, dict[str, int]] = key("fixed cycles of every unit, by class")
    trace: dict[str, ChannelEntry] = key("debug paths")
