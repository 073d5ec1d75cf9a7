"""Programs too short to compute anything: what orders them follows from their instructions alone."""

from golden.machine.order import Order
from hwgen.spec.arch import ArchConfig
from hwgen.spec.encoding import decode, encode
from hwgen.spec.isa import Counter, Destination, Opcode, Source
from hwgen.spec.tables import TABLES
from tests.golden.hand_program import small_arch

ARCH, ONE_LANE = small_arch((2, 8, 16)), small_arch((1, 8, 8))
ROWS, WORDS = 6, 2
Step = tuple[Opcode, dict[str, int]]


def step(opcode: Opcode, **fields: int) -> Step:
    return opcode, {name: int(value) for name, value in fields.items()}


def table(name: str, **fields: int) -> Step:
    info = next(info for info in TABLES if info.name == name)
    return step(Opcode.LOAD_TABLE, table=info.index, words=info.words, **fields)


def position(**fields: int) -> Step:
    return step(Opcode.LOAD_POSITION, **{"rows": ROWS, "row_words": WORDS, **fields})


def patches(**fields: int) -> Step:
    """Three bands of two patches, four words each."""
    shape = {"patch": 8, "patch_rows": 3, "patch_columns": 2, "channels": 1, "width": 16, "plane_bytes": 512}
    return step(Opcode.LOAD_PATCHES, **{**shape, "dst_base": 100, "dst_stride": 4, **fields})


def norm(base: int = 0, **fields: int) -> Step:
    shape = {"rows": ROWS, "words": WORDS, "channels": 32, "src_stride": WORDS, "dst_stride": WORDS}
    return step(Opcode.LAYERNORM, **{**shape, "wait_a": Counter.RESIDUAL, "wait_a_base": base, **fields})


def linear(destination: Destination, wait: Counter, base: int = 0, **fields: int) -> Step:
    """From norm rows, or from patches."""
    shape = {"rows": ROWS, "in_chunks": 2 * WORDS, "out_tiles": WORDS, "src_stride": WORDS, "dst_stride": WORDS}
    if wait == Counter.PATCH:
        shape |= {"source": Source.ACTIVATION, "src_base": 100, "src_stride": 4}
    return step(Opcode.LINEAR, **{**shape, "destination": destination, "wait_a": wait, "wait_a_base": base, **fields})


def scores(**fields: int) -> Step:
    shape = {"rows": ROWS, "keys": ROWS, "in_chunks": 2, "src_stride": WORDS, "key_stride": WORDS, "mult": 1}
    waits = {"wait_a": Counter.QUERY, "wait_b": Counter.KEY, "wait_b_base": ROWS}
    return step(Opcode.SCORES, **{**shape, **waits, **fields})


def context(**fields: int) -> Step:
    shape = {"rows": ROWS, "keys": ROWS, "out_tiles": 1, "value_stride": WORDS, "dst_base": 50, "dst_stride": WORDS}
    waits = {"wait_a": Counter.SCORE, "wait_b": Counter.VALUE, "wait_b_base": ROWS}
    return step(Opcode.CONTEXT, **{**shape, **waits, **fields})


def experts(**fields: int) -> Step:
    shape = {"rows": ROWS, "experts": 2, "in_chunks": 4, "hidden_tiles": 2, "hidden_chunks": 4, "out_tiles": WORDS}
    place = {"src_stride": WORDS, "hidden_base": 200, "hidden_stride": 2, "dst_stride": WORDS}
    return step(Opcode.EXPERTS, **{**shape, **place, "wait_b": Counter.GATE, "wait_b_base": ROWS, **fields})


def gate(**fields: int) -> Step:
    return linear(Destination.GATE, Counter.NORM, experts=2, top_k=1, out_tiles=1, **fields)


def behind(counter: Counter, base: int) -> dict[str, int]:
    return {"wait_b": counter, "wait_b_base": base % 2**16}


def follow(steps: list[Step], arch: ArchConfig = ARCH) -> None:
    order = Order(arch)
    for pc, (opcode, fields) in enumerate(steps):
        order.follow(pc, *decode(encode(opcode, **fields)))


TABLES_FIRST = [table(info.name) for info in TABLES]  # pc 0 to 4
NORMED = [*TABLES_FIRST, position(), norm()]
KEYED = [*NORMED, linear(Destination.KEY, Counter.NORM)]
ATTENTION = [
    *NORMED,
    linear(Destination.QUERY, Counter.NORM),
    linear(Destination.KEY, Counter.NORM),
    linear(Destination.VALUE, Counter.NORM),
]
TO_QUERY = linear(Destination.QUERY, Counter.NORM)


def add(**fields: int) -> Step:
    """To the residual, behind all positions."""
    return linear(Destination.RESIDUAL, Counter.NORM, **{**behind(Counter.NORM, ROWS), **fields})


UPDATED = [*NORMED, add()]
