"""Where LOAD_WEIGHTS go: as early as the load queue lets them."""

from collections.abc import Mapping, Sequence

from hwgen.compiler.step import Step
from hwgen.compiler.streams import Stream
from hwgen.spec.arch import ArchConfig
from hwgen.spec.isa import Counter, Opcode, Unit
from hwgen.spec.ops import OPS


def _load(stream: Stream, offset: int, arch: ArchConfig, wait: Mapping[str, int]) -> Step:
    fields = {"offset": offset, "port_stride": stream.port_bytes(arch), **stream.fields(), **wait}
    return Step(opcode=Opcode.LOAD_WEIGHTS, name=stream.name, fields=fields)


def _image_wait(steps: Sequence[Step]) -> dict[str, int]:
    """The wait for all patches of the image; none when weights are needed before the image is loaded."""
    for step in steps:
        if OPS[step.opcode].unit is Unit.COMPUTE:
            break
        if step.opcode is Opcode.LOAD_PATCHES:
            patches = step.fields["patch_rows"] * step.fields["patch_columns"]
            return {"wait_b": int(Counter.PATCH), "wait_b_base": patches}
    return {}


def with_loads(steps: Sequence[Step], offsets: Mapping[str, int], arch: ArchConfig) -> list[Step]:
    """``steps`` with their loads, in the order of consumption.

    With Q = ``load_queue``: load k follows the consumer of load k - Q directly, and the first Q loads come right
    before the first consumer. So at most Q loads are ahead of their consumers, and a consumer of more than Q loads
    (experts) finds the rest right behind it. A load never waits for an instruction that comes after it.

    The first load comes at once; the others wait until the image is in, because position table and image are on the
    way to the first result and would otherwise share DDR with weights that are needed much later.
    """
    streams = [stream for step in steps for stream in step.streams]
    image_wait = _image_wait(steps)
    out: list[Step] = []
    emitted = consumed = 0

    def emit_ahead() -> None:
        nonlocal emitted
        while emitted < min(consumed + arch.load_queue, len(streams)):
            stream = streams[emitted]
            out.append(_load(stream, offsets[stream.name], arch, image_wait if emitted else {}))
            emitted += 1

    for step in steps:
        if step.streams and not emitted:
            emit_ahead()
        out.append(step)
        consumed += len(step.streams)
        if step.streams:
            emit_ahead()
    return out
