"""The golden machine: executes program words on a memory image, one instruction after the other.

It stops where real hardware would stop or hang (:class:`MachineError`), and refuses programs whose result would depend
on timing. Results go to memory; ``trace`` holds what every instruction produced, for the comparison with RTL.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from golden.layernorm import affine, layernorm
from golden.machine.buffers import BoundsError, Region
from golden.machine.compute import COMPUTE, parse_params
from golden.machine.liveness import Drain, word_bytes
from golden.machine.order import Order
from golden.machine.progress import Guard, IllegalProgramError, MachineError
from golden.machine.rings import Ring, Words
from golden.machine.state import Fields, MachineState, TraceEntry
from golden.machine.tokens import TOKENS
from golden.patches import patch_rows
from hwgen.spec.arch import BEAT_BYTES, ArchConfig
from hwgen.spec.buffers import PARAM_BYTES
from hwgen.spec.encoding import ChecksumError, decode, unseal
from hwgen.spec.isa import INSTRUCTION_BYTES, Counter, Destination, ErrorCode, Opcode, Unit
from hwgen.spec.ops import OPS
from hwgen.spec.registers import REGISTERS
from hwgen.spec.tables import TABLES, Int64Array

MAX_INSTRUCTIONS = 2**16  # an instruction index has 16 bits
_ON_STATE = COMPUTE | TOKENS  # what touches nothing beside the chip


class GoldenMachine:
    """A machine of one arch beside a memory; every run starts from reset."""

    def __init__(self, arch: ArchConfig, memory: bytearray | NDArray[np.uint8]) -> None:
        """``memory`` is written in place; byte i is address i."""
        self.arch = arch
        self.memory = memory if isinstance(memory, np.ndarray) else np.frombuffer(memory, dtype=np.uint8)
        self.state = MachineState(arch, self._dispatch_load)
        self._order = Order(arch)
        self.program = self.model = self.image = self.result = self.result_bytes = 0
        self._dispatched = 0  # instructions that have left the sequencer
        self._handlers: dict[Opcode, Callable[[Guard, Fields], None]] = {
            Opcode.LOAD_WEIGHTS: self._load_weights,
            Opcode.LOAD_TABLE: self._load_table,
            Opcode.LOAD_POSITION: self._load_position,
            Opcode.LOAD_PATCHES: self._load_patches,
            Opcode.STORE: self._store,
            Opcode.LAYERNORM: self._layernorm,
        }

    @property
    def trace(self) -> list[TraceEntry]:
        """What every instruction of the last run produced, in program order."""
        return self.state.trace

    def run(self, program: int, *, model: int = 0, image: int = 0, result: int = 0, result_bytes: int = 0) -> None:
        """Execute from address ``program`` to END; the others are the registers of these names."""
        self.state = MachineState(self.arch, self._dispatch_load)
        self._order = Order(self.arch)
        self.program, self.model, self.image, self.result = program, model, image, result
        self.result_bytes = result_bytes
        for pointer in (register for register in REGISTERS if register.multiple_of > 1):
            value, multiple = getattr(self, pointer.name.lower()), pointer.multiple_of
            if value % multiple:
                text = f"{pointer.name} is {value:#x}, not a multiple of {multiple}"
                raise MachineError(ErrorCode.UNALIGNED, 0, text)
        self._dispatched = 0
        for pc in range(MAX_INSTRUCTIONS):
            opcode, fields = self._decode(pc)
            if opcode == Opcode.END:
                if self.state.loader.waiting:
                    raise IllegalProgramError(pc, f"END with {self.state.loader.waiting} loads that wait for space")
                return
            if pc >= self._dispatched:
                self._dispatched = pc + 1
                self._execute(pc, opcode, fields)
        raise IllegalProgramError(MAX_INSTRUCTIONS - 1, "no END")

    def _decode(self, pc: int) -> tuple[Opcode, Fields]:
        data = self._fetch(pc, self.program + pc * INSTRUCTION_BYTES, INSTRUCTION_BYTES)
        try:
            return decode(unseal(data, pc))
        except ChecksumError as error:
            raise MachineError(ErrorCode.CHECKSUM, pc, str(error)) from error
        except ValueError as error:
            raise MachineError(ErrorCode.ILLEGAL_INSTRUCTION, pc, str(error)) from error

    def _dispatch_load(self) -> bool:
        """Start the next instruction although the current one is not finished, if it is a load and the queue has space.

        The sequencer runs ahead of the units; loads right behind a consumer (many experts) must not wait for its end.
        """
        if self.state.loader.waiting >= self.arch.load_queue:
            return False
        pc = self._dispatched
        opcode, fields = self._decode(pc)
        if opcode != Opcode.LOAD_WEIGHTS:
            return False
        self._dispatched = pc + 1
        self._execute(pc, opcode, fields)
        return True

    def _execute(self, pc: int, opcode: Opcode, fields: Fields) -> None:
        guard = Guard(self.state.progress, pc, opcode, OPS[opcode].unit, fields)
        if opcode == Opcode.LINEAR and fields["destination"] == Destination.RESULT:
            self._check_results(pc, fields)
        try:
            if opcode in _ON_STATE:
                _ON_STATE[opcode](self.state, guard, fields)
            else:
                self._handlers[opcode](guard, fields)
        except BoundsError as error:
            raise MachineError(ErrorCode.OUT_OF_BOUNDS, pc, f"{opcode.name}: {error}") from error
        guard.finish(fields.get("rows", 0))
        self._order.follow(pc, opcode, fields)

    def _check_results(self, pc: int, fields: Fields) -> None:
        """The results find room, or somebody who stores them."""
        held = sum(map(len, self.state.results)) // word_bytes(self.arch)
        drain = Drain(self.arch, self.state.progress, self.state.rings, self.state.loader)
        drain.check(pc, fields, held, self._ahead(pc + 1))

    def _ahead(self, pc: int) -> Iterator[tuple[int, Opcode, Fields]]:
        """The program from ``pc`` on, to its end or to what is no instruction."""
        while pc < MAX_INSTRUCTIONS:
            try:
                opcode, fields = self._decode(pc)
            except MachineError:
                return
            if opcode == Opcode.END:
                return
            yield pc, opcode, fields
            pc += 1

    def _fetch(self, pc: int, address: int, count: int) -> bytes:
        return self._bytes(pc, address, count, ErrorCode.AXI_READ).tobytes()

    def _bytes(self, pc: int, address: int, count: int, code: ErrorCode) -> NDArray[np.uint8]:
        """A view of memory; an address outside answers with an AXI error."""
        if address < 0 or address + count > self.memory.size:
            raise MachineError(code, pc, f"bytes {address:#x}..{address + count:#x} of {self.memory.size:#x}")
        return self.memory[address : address + count]

    def _load_weights(self, guard: Guard, f: Fields) -> None:
        """Norm entries, parameter entries, weight tiles; port p brings the p-th slice of every word."""
        ports, at = self.arch.weight_ports, self.model + f["offset"]
        entry = self.arch.output_lanes * PARAM_BYTES
        state, parts = self.state, list[tuple[Ring, Words]]()
        for ring, count, size in (
            (state.norms, f["norm_entries"], entry),
            (state.params, f["param_entries"], entry),
            (state.weights, f["weight_words"], self.arch.tile_bytes),
        ):
            part = count * size // ports
            slices = [
                self._bytes(guard.pc, at + port * f["port_stride"], part, ErrorCode.AXI_READ).reshape(
                    count, size // ports
                )
                for port in range(ports)
            ]
            parts.append((ring, np.concatenate(slices, axis=1)))
            at += part
        state.loader.start(parts)
        if state.loader.waiting > self.arch.load_queue:
            raise IllegalProgramError(
                guard.pc, f"{state.loader.waiting} loads wait for space, the queue holds {self.arch.load_queue}"
            )

    def _load_table(self, guard: Guard, f: Fields) -> None:
        data = self._fetch(guard.pc, self.model + f["offset"], 4 * f["words"])
        info = next((table for table in TABLES if table.index == f["table"]), None)
        if info is None or f["words"] < info.words:
            raise IllegalProgramError(guard.pc, f"LOAD_TABLE of table {f['table']} with {f['words']} words")
        halves = np.frombuffer(data, dtype=np.dtype([("base", "<u2"), ("slope", "<i2")]))
        self.state.tables[info.name] = np.stack([halves["base"], halves["slope"]], axis=1).astype(np.int64)

    def _load_position(self, guard: Guard, f: Fields) -> None:
        size = f["rows"] * f["row_words"] * self.arch.output_lanes * 2
        values = np.frombuffer(self._fetch(guard.pc, self.model + f["offset"], size), dtype="<i2").astype(np.int64)
        rows = np.arange(f["rows"])
        region = Region(rows, f["dst_base"], f["row_words"], f["row_words"])
        table = values.reshape(f["rows"], -1)
        counts = self._counts(Counter.RESIDUAL, f["rows"], 1)
        self.state.residual.write(region, table, Unit.IO, Counter.RESIDUAL, counts)
        self.state.keep(guard, "position", rows, table)

    def _load_patches(self, guard: Guard, f: Fields) -> None:
        height, planes = f["patch_rows"] * f["patch"], range(f["channels"])
        size = height * f["width"]
        parts = [self._fetch(guard.pc, self.image + plane * f["plane_bytes"], size) for plane in planes]
        image = np.frombuffer(b"".join(parts), dtype=np.uint8).reshape(f["channels"], height, f["width"])
        used = image[:, :, : f["patch_columns"] * f["patch"]].transpose(1, 2, 0)
        values = patch_rows(used, f["patch"])
        words = self.arch.words(values.shape[1])
        padded = np.pad(values, ((0, 0), (0, words * self.arch.output_lanes - values.shape[1])))
        rows = np.arange(len(values))
        counts = self._counts(Counter.PATCH, len(values), f["patch_columns"])
        region = Region(rows, f["dst_base"], f["dst_stride"], words)
        self.state.activation.write(region, padded, Unit.IO, Counter.PATCH, counts)
        self.state.keep(guard, "patches", rows, padded)

    def _counts(self, counter: Counter, rows: int, band: int) -> Int64Array:
        """Progress at which each row may be read, if whole bands are counted at once; advances the counter."""
        first = int(self.state.progress.count[counter])
        self.state.progress.advance(counter, rows)
        return first + np.arange(rows) // band * band + 1

    def _store(self, guard: Guard, f: Fields) -> None:
        data, size = b"".join(self.state.results), f["beats"] * BEAT_BYTES
        if 0 < self.result_bytes < size:
            text = f"STORE of {size} bytes, RESULT_BYTES is {self.result_bytes}"
            raise MachineError(ErrorCode.RESULT_BOUND, guard.pc, text)
        if size > len(data):
            raise IllegalProgramError(guard.pc, f"STORE of {size} bytes, {len(data)} are in the result FIFO")
        self._bytes(guard.pc, self.result, size, ErrorCode.AXI_WRITE)[:] = np.frombuffer(data[:size], dtype=np.uint8)
        self.state.results = [data[size:]]

    def _layernorm(self, guard: Guard, f: Fields) -> None:
        state, rows = self.state, np.arange(f["rows"])
        if not 1 <= f["channels"] <= min(f["words"] * self.arch.output_lanes, self.arch.max_channels):
            raise IllegalProgramError(guard.pc, f"LAYERNORM of {f['channels']} channels in {f['words']} words")
        x = guard.read(state.residual, Region(rows, f["src_base"], f["src_stride"], f["words"]), by_row=True)
        params = parse_params(state.take(guard, [(state.norms, f["words"])], together=True)[0])
        gain = params.mult.astype(np.int16).astype(np.int64)
        channels = f["channels"]
        parts = gain[:channels], params.bias[:channels], f["shift"]
        values, known = np.zeros_like(x), x[:, :channels]
        if f["plain"]:
            values[:, :channels] = affine(known, *parts)
        else:
            values[:, :channels] = layernorm(state.table(guard, "rsqrt"), known, *parts)
        region = Region(rows, f["dst_base"], f["dst_stride"], f["words"])
        state.norm.write(region, values, Unit.NORM, Counter.NORM, self._counts(Counter.NORM, f["rows"], 1))
        state.keep(guard, "norm", rows, values)
