"""Processes that wait for each other: the clockwork below the estimate.

A process is a generator that yields what it waits for: a time, or that a track has counted to a number. Tracks count
things that have happened, or will happen at a known time, so a process may be ahead of the clock.
"""

import heapq
from collections.abc import Generator
from dataclasses import dataclass, field


@dataclass
class Track:
    """When the first, second, ... of something happens."""

    clock: "Clock"
    times: list[int] = field(default_factory=list[int])
    waiting: "list[tuple[int, Process]]" = field(default_factory=lambda: [])

    def time(self, count: int) -> int:
        """When ``count`` of them have happened; known only once they have been reached."""
        return self.times[count - 1] if count > 0 else 0

    def reach(self, time: int, count: int = 1) -> None:
        """``count`` more at ``time``, or with the last one when that is later."""
        if self.times and time < self.times[-1]:
            time = self.times[-1]
        self.times.extend([time] * count)
        if self.waiting:
            ready = [item for item in self.waiting if item[0] <= len(self.times)]
            self.waiting = [item for item in self.waiting if item[0] > len(self.times)]
            for wanted, process in ready:
                self.clock.at(self.time(wanted), process)


Request = int | tuple[Track, int]
Process = Generator[Request, None, None]
Wait = Generator[Request, None, int]


@dataclass
class Clock:
    """Runs the processes in the order of time."""

    _agenda: list[tuple[int, int, Process]] = field(default_factory=lambda: [])
    _count: int = 0

    def at(self, time: int, process: Process) -> None:
        """Continue ``process`` at ``time``."""
        self._count += 1
        heapq.heappush(self._agenda, (time, self._count, process))

    def run(self) -> None:
        """Until every process has ended or waits for ever."""
        while self._agenda:
            now, _, process = heapq.heappop(self._agenda)
            self._continue(now, process)

    def _continue(self, now: int, process: Process) -> None:
        for wanted in process:
            if isinstance(wanted, int):
                time = wanted
            else:
                track, count = wanted
                if count > len(track.times):
                    track.waiting.append((count, process))
                    return
                time = track.time(count)
            if time > now:
                self.at(time, process)
                return


def after(time: int, track: Track, count: int) -> Wait:
    """The later of ``time`` and the moment at which ``track`` counts to ``count``."""
    if count > len(track.times):
        yield track, count
    return max(time, track.time(count))
