"""The clockwork of the estimate: order of time, counting, processes that wait for each other."""

from hwgen.estimator.clock import Clock, Process, Track, after


def test_processes_run_in_the_order_of_time():
    clock, seen = Clock(), list[tuple[str, int]]()

    def ticks(name: str, step: int) -> Process:
        for count in range(1, 4):
            yield step * count
            seen.append((name, step * count))

    clock.at(0, ticks("a", 5))
    clock.at(0, ticks("b", 3))
    clock.run()
    assert seen == [("b", 3), ("a", 5), ("b", 6), ("b", 9), ("a", 10), ("a", 15)]


def test_tracks_count():
    track = Track(Clock())
    track.reach(4)
    track.reach(7, 2)
    track.reach(6)  # not before the one ahead of it
    assert track.times == [4, 7, 7, 7]
    assert [track.time(count) for count in (-1, 0, 1, 3)] == [0, 0, 4, 7]


def test_a_process_waits_for_a_count():
    clock = Clock()
    items, room, seen = Track(clock), Track(clock), list[tuple[int, int]]()

    def producer() -> Process:
        """At most two items that have not been taken; one every three cycles."""
        time = 0
        for number in range(5):
            time = yield from after(time + 3, room, number + 1 - 2)
            items.reach(time)

    def consumer() -> Process:
        """Ten cycles an item."""
        time = 0
        for number in range(5):
            time = yield from after(time, items, number + 1)
            seen.append((number, time))
            time += 10
            room.reach(time)

    clock.at(0, producer())
    clock.at(0, consumer())
    clock.run()
    assert items.times == [3, 6, 13, 23, 33]
    assert seen == [(0, 3), (1, 13), (2, 23), (3, 33), (4, 43)]


def test_nobody_waits_for_ever_unnoticed():
    """What is never reached ends the run, and the process stays where it is."""
    clock, reached = Clock(), list[int]()
    never = Track(clock)

    def process() -> Process:
        reached.append(1)
        yield never, 1
        reached.append(2)

    clock.at(0, process())
    clock.run()
    assert reached == [1]
    assert len(never.waiting) == 1
