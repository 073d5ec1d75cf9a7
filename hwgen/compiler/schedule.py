"""Where LOAD_WEIGHTS go: as early as the load queue lets them."""

from collections.abc import Mapping, Sequence

from hwgen.compiler.step import Step
from hwgen.compiler.streams import Stream
from hwgen.spec.arch import ArchConfig
from hwgen.spec.isa import Opcode


def _load(stream: Stream, offset: int, arch: ArchConfig) -> Step:
    fields = {"offset": offset, "port_stride": stream.port_bytes(arch), **stream.fields()}
    return Step(opcode=Opcode.LOAD_WEIGHTS, name=stream.name, fields=fields)


def with_loads(steps: Sequence[Step], offsets: Mapping[str, int], arch: ArchConfig) -> list[Step]:
    """``steps`` with their loads, in the order of consumption.

    With Q = ``load_queue``: load k follows the consumer of load k - Q directly, and the first Q loads come right
    before the first consumer. So at most Q loads are ahead of their consumers, and a consumer of more than Q loads
    (experts) finds the rest right behind it. A load never waits for an instruction that comes after it.
    """
    streams = [stream for step in steps for stream in step.streams]
    out: list[Step] = []
    emitted = consumed = 0

    def emit_ahead() -> None:
        nonlocal emitted
        while emitted < min(consumed + arch.load_queue, len(streams)):
            stream = streams[emitted]
            out.append(_load(stream, offsets[stream.name], arch))
            emitted += 1

    for step in steps:
        if step.streams and not emitted:
            emit_ahead()
        out.append(step)
        consumed += len(step.streams)
        if step.streams:
            emit_ahead()
    return out
