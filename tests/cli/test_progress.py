"""A running step stands in one line of a terminal, and in few lines elsewhere."""

import io

from rich.console import Console

from hwgen.cli.progress import Progress
from hwgen.steps import Steps

LINES = ["[1/2] simulator ...", *(f"[1/2] simulator ... {percent} %" for percent in range(2, 100, 2))]
DONE = "[1/2] simulator (9.0 s)"


def test_a_pipe_has_a_line_in_ten_percent():
    console = Console(file=io.StringIO(), force_terminal=False)
    with Progress(console) as say:
        for line in [*LINES, DONE, "[2/2] simulation ...", "[2/2] simulation ... 13 %"]:
            say(line)
    tens = [f"[1/2] simulator ... {percent} %" for percent in range(10, 100, 10)]
    printed = console.file.getvalue().splitlines()
    assert printed == [LINES[0], *tens, DONE, "[2/2] simulation ...", "[2/2] simulation ... 13 %"]


def test_a_terminal_draws_the_running_step_in_one_place():
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with Progress(console) as say:
        for line in LINES:
            say(line)
        assert say._live is not None
        say._live.refresh()
        assert "[1/2] simulator ... 98 % 0 s" in console.file.getvalue()
        say(DONE)
    up_and_erase = "\x1b[1A\x1b[2K"
    assert console.file.getvalue().endswith(f" 0 s\n\x1b[?25h\r{up_and_erase}{DONE}\n")
    assert console.file.getvalue().count("\n") == 2


def test_a_step_says_how_far_it_is_but_not_at_every_turn(tmp_path):
    said: list[str] = []
    steps = Steps(tmp_path, ["first", "second"], said.append)

    def work():
        for done in range(1001):
            steps.share(done / 1000)

    for name in ("first", "second"):
        steps.run(name, work)
    assert len(said) == 2 * (2 + 50)
    assert said[:3] == ["[1/2] first ...", "[1/2] first ... 2 %", "[1/2] first ... 4 %"]
    assert said[50] == "[1/2] first ... 100 %"
    assert said[53] == "[2/2] second ... 2 %"
