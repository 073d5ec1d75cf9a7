"""Where tensors lie in the buffers: the first place that is free from the first row written to the last row read."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hwgen.spec.arch import ArchConfig
from hwgen.spec.buffers import MemoryInfo


@dataclass(frozen=True, kw_only=True)
class Held:
    """Rows that a layer leaves in a buffer, or needs there while it runs."""

    tensor: str
    memory: MemoryInfo
    rows: int
    words: int  # of a row
    first: int = 0  # row of the tensor that lies first; those before it are not made
    into: str | None = None  # tensor whose rows it updates where they are


@dataclass(frozen=True, kw_only=True)
class Place:
    """Rows of a tensor in a buffer."""

    tensor: str
    memory: MemoryInfo
    base: int  # word address of the first row that is made
    stride: int  # words from row to row, of each bank
    rows: int
    first: int  # row of the tensor that lies at the base
    depth: int  # words of each bank

    @property
    def end(self) -> int:
        """First word past it."""
        return self.base + self.depth

    def address(self, row: int) -> int:
        """Word address of a row of the tensor."""
        return self.base + (row - self.first) * self.stride

    def target(self, row: int | None = None, word: int = 0) -> dict[str, int]:
        """As where an instruction writes, from ``row`` on; the first one that is made when not given.

        ``word``: of every row, the first that it writes.
        """
        return {"dst_base": self.address(self.first if row is None else row) + word, "dst_stride": self.stride}


@dataclass(frozen=True)
class Lifetime:
    """Something held, from the layer that writes it to the last one that reads it, by their numbers in the walk."""

    held: Held
    begins: int
    ends: int


def apart(held: Iterable[Held], arch: ArchConfig) -> dict[str, Place]:
    """Tensor -> a place of its own, however many words that takes."""
    found: dict[str, Place] = {}
    ends: dict[str, int] = {}
    for item in held:
        base = found[item.into].base if item.into in found else ends.get(item.memory.name, 0)
        place = found[item.tensor] = _place(item, base, arch)
        ends[item.memory.name] = max(place.end, ends.get(item.memory.name, 0))
    return found


def placed(lifetimes: Sequence[Lifetime], arch: ArchConfig, settled: Callable[[str, str], bool]) -> dict[str, Place]:
    """Tensor -> place: first fit among the words that nobody touches any more, in the order of the walk.

    ``settled``: whether the first word of the second tensor is written when everyone is done with the first one, as the
    program stands. Where no such place is left in the buffer, one whose readers come earlier in the program will do:
    the program will wait for them. A tensor is not written over what the same layer reads, because a layer's rows come
    and go one by one.
    """
    found: dict[str, Place] = {}
    needed: dict[str, int] = {}  # until when
    for item in lifetimes:
        held = item.held
        if held.into in found:
            found[held.tensor] = _place(held, found[held.into].base, arch)
            needed.pop(held.into, None)
        else:
            others = [name for name in needed if found[name].memory is held.memory]
            read = [found[name] for name in others if needed[name] >= item.begins]
            touched = [found[name] for name in others if needed[name] < item.begins and not settled(name, held.tensor)]
            place = _first_fit(held, [*read, *touched], arch)
            if place.end > held.memory.words(arch):
                place = _first_fit(held, read, arch)
            found[held.tensor] = place
        needed[held.tensor] = item.ends
    return found


def _place(held: Held, base: int, arch: ArchConfig) -> Place:
    banks = held.memory.bank_count(arch)
    return Place(
        tensor=held.tensor,
        memory=held.memory,
        base=base,
        stride=held.words,
        rows=held.rows,
        first=held.first,
        depth=-(-held.rows // banks) * held.words,
    )


def _first_fit(held: Held, busy: Iterable[Place], arch: ArchConfig) -> Place:
    """The lowest base behind nothing, or behind something busy, that overlaps nothing busy."""
    taken = sorted(busy, key=lambda place: place.base)
    place = _place(held, 0, arch)
    for other in taken:
        if place.base < other.end and other.base < place.end:
            place = _place(held, other.end, arch)
    return place
