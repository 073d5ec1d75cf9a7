"""What the NORM queue holds: LAYERNORM row by row, selections and moves of rows as a whole."""

from dataclasses import dataclass

from hwgen.estimator.clock import Process, Wait, after
from hwgen.estimator.machine import Instruction, Machine
from hwgen.spec import timing
from hwgen.spec.isa import Counter, Opcode, Unit
from hwgen.spec.ops import OPS


@dataclass
class LayerNorm:
    """One instruction at a time; rows are read ahead of those that are written."""

    machine: Machine
    _used: int = 0  # parameter words of all instructions so far

    def run(self) -> Process:
        """The next instruction starts in the cycle after the last row of the one before."""
        queue, time = self.machine.queues[Unit.NORM], 0
        for number, item in enumerate(queue.items):
            time = yield from after(time, queue.entered, number + 1)
            time = yield from self.machine.passed(item, time)
            self.machine.starts[item.index] = time
            if item.step.opcode is Opcode.LAYERNORM:
                time = yield from self._rows(item, time + 1)
                self.machine.norms.free(time, item.step.fields["words"])
            else:
                time += OPS[item.step.opcode].cycles(item.step.every, self.machine.arch, ())
                self.machine.ends[item.index] = time
            queue.left.reach(time)
            self.machine.done(time)
            time += 1

    def _rows(self, item: Instruction, time: int) -> Wait:
        """Progress of the last row."""
        words = item.step.fields["words"]
        wait, arrived = timing.norm_wait(self.machine.arch), self.machine.norms.arrived
        track, base = self.machine.waits(item, "wait_a")
        fetch = send = time
        self._used += words
        for row in range(item.step.fields["rows"]):
            ready = 1 + (yield from after(0, track, base + row + 1)) if base >= 0 else 0
            fetch = max(fetch, ready) + words
            if row == 0:
                send = 1 + (yield from after(send, arrived, self._used))
            send = max(send, fetch - 1 + wait) + words
            time = send - 1 + timing.NORM_SEND_LATENCY + 1
            self.machine.count(Counter.NORM, time)
        self.machine.ends[item.index] = time
        return time
