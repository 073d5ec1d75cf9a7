"""The memory image: tables, position, weight streams and programs, and the manifest that says where."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hwgen.compiler.errors import CompileError
from hwgen.compiler.streams import Stream, stream_bytes
from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import RESIDUAL
from hwgen.spec.graph import Network
from hwgen.spec.isa import FETCH_BYTES, INSTRUCTION_BYTES
from hwgen.spec.layers import Position
from hwgen.spec.layout import U8, position_words
from hwgen.spec.package import QuantisedModel
from hwgen.spec.tables import TABLES, pack_table

ALIGNMENT = 64  # of every entry: streams need 16, programs 32
OFFSET_LIMIT = 2**32  # offsets have 32 bits


@dataclass(frozen=True, kw_only=True)
class Region:
    """A stretch of the image before its bytes are known."""

    name: str
    layout: str  # "table", "position", "stream" or "program"
    shape: tuple[int, ...]  # of the bytes: [words, 4], [tokens, bytes of a row], [ports, bytes of a slice], ...
    offset: int

    @property
    def bytes(self) -> int:
        """Size."""
        return int(np.prod(self.shape))


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A tensor, stream or program of the image, as the manifest lists it."""

    name: str
    offset: int  # bytes from MODEL
    layout: str
    shape: tuple[int, ...]
    bytes: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """The entry as JSON data."""
        return asdict(self)


class ImagePlan:
    """Offsets of everything, from sizes alone."""

    def __init__(self) -> None:
        """An empty image."""
        self.regions: dict[str, Region] = {}
        self.size = 0

    def add(self, name: str, layout: str, shape: tuple[int, ...]) -> None:
        """Place ``name`` behind the rest; a name that is there already is shared."""
        if name in self.regions:
            if self.regions[name].shape != shape:
                raise CompileError(f"{name} has two shapes: {self.regions[name].shape} and {shape}")
            return
        region = Region(name=name, layout=layout, shape=shape, offset=-(-self.size // ALIGNMENT) * ALIGNMENT)
        end = region.offset + region.bytes
        if end > OFFSET_LIMIT:
            raise CompileError(f"{name} ends at byte {end:,} of the image, offsets reach {OFFSET_LIMIT:,}")
        self.regions[name] = region
        self.size = end

    @property
    def offsets(self) -> dict[str, int]:
        """Name -> byte offset from MODEL."""
        return {name: region.offset for name, region in self.regions.items()}


def plan_data(network: Network, arch: ArchConfig, streams: Iterable[Stream]) -> ImagePlan:
    """Place tables, position tables and streams; equal streams of several tasks are one."""
    plan = ImagePlan()
    for table in TABLES:
        plan.add(f"tables.{table.name}", "table", (table.words, 4))
    for layer in position_tables(network):
        row_bytes = arch.words(layer.columns) * arch.output_lanes * RESIDUAL.element_bits // 8
        plan.add(layer.name, "position", (layer.rows, row_bytes))
    for stream in streams:
        plan.add(stream.name, "stream", (arch.weight_ports, stream.port_bytes(arch)))
    return plan


def position_tables(network: Network) -> list[Position]:
    """The position tables of a network."""
    return [layer for layer in network.layers if isinstance(layer, Position)]


def plan_program(plan: ImagePlan, task: str, instructions: int) -> None:
    """Place the program of ``task``."""
    plan.add(f"program.{task}", "program", (instructions, INSTRUCTION_BYTES))


class ImageWriter:
    """Fills the image region by region."""

    def __init__(self, plan: ImagePlan) -> None:
        """An image of zeros."""
        self.plan = plan
        readable = plan.size + FETCH_BYTES - INSTRUCTION_BYTES  # the program may be last
        self.image: U8 = np.zeros(-(-readable // ALIGNMENT) * ALIGNMENT, dtype=np.uint8)
        self.entries: dict[str, Entry] = {}

    def put(self, name: str, data: U8) -> None:
        """Bytes of region ``name``."""
        if name in self.entries:
            return
        region = self.plan.regions[name]
        flat = np.ascontiguousarray(data).reshape(-1)
        if flat.size != region.bytes:
            raise CompileError(f"{name}: {flat.size:,} bytes for a region of {region.bytes:,}")
        self.image[region.offset : region.offset + flat.size] = flat
        digest = hashlib.sha256(flat.tobytes()).hexdigest()
        self.entries[name] = Entry(
            name=name,
            offset=region.offset,
            layout=region.layout,
            shape=region.shape,
            bytes=region.bytes,
            sha256=digest,
        )

    def put_data(self, package: QuantisedModel, arch: ArchConfig, streams: Iterable[Stream]) -> None:
        """Tables, position tables and streams."""
        for table in TABLES:
            words = pack_table(package.arrays[f"tables.{table.name}"].astype(np.int64))
            self.put(f"tables.{table.name}", words.astype("<u4").view(np.uint8))
        for layer in position_tables(package.config.network):
            self.put(layer.name, position_words(package.arrays[layer.name], arch))
        for stream in streams:
            if stream.name not in self.entries:
                self.put(stream.name, stream_bytes(package, stream, arch))

    def manifest(self) -> tuple[Entry, ...]:
        """Entries in the order of their offsets; CompileError when a region was left empty."""
        missing = [name for name in self.plan.regions if name not in self.entries]
        if missing:
            raise CompileError(f"image regions without data: {', '.join(missing)}")
        return tuple(sorted(self.entries.values(), key=lambda entry: entry.offset))
