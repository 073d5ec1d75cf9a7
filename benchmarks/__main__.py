"""``python -m benchmarks``: measure, keep and write the tables; ``--check``: measure and compare with what is kept."""

import argparse
import sys

from benchmarks.cases import CASES, Case, cases
from benchmarks.check import worse
from benchmarks.figures import Figures
from benchmarks.measure import WrongResultError, measure
from benchmarks.results import load, write
from hwgen.synth import SynthesisError


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = ", ".join(case.name for case in CASES)
    parser.add_argument("case", nargs="*", help=f"which to measure; all when not given: {names}")
    parser.add_argument("--check", action="store_true", help="fail when a figure is worse than kept by over 1 %%")
    parser.add_argument("--synth", action="store_true", help="take the DSPs from synthesis (minutes, cached)")
    parser.add_argument("--tables", action="store_true", help="measure nothing, write the tables from results.json")
    return parser.parse_args()


def measure_all(wanted: list[Case], synth: bool) -> dict[str, Figures]:
    """Every case in turn."""
    found: dict[str, Figures] = {}
    for case in wanted:
        print(f"{case.name}", flush=True)
        found[case.name] = measure(case, lambda line: print(f"  {line}", flush=True), synth)
        print(f"  {found[case.name].cycles:,} cycles, useful MACs {found[case.name].mac_utilisation:.1%}", flush=True)
    return found


def check(found: dict[str, Figures]) -> int:
    """Exit code: 1 when something got worse."""
    kept = load()
    lines = [f"{name}: nothing is kept; run python -m benchmarks" for name in found if name not in kept]
    for name, new in found.items():
        lines += worse(kept[name], new) if name in kept else []
    for line in lines:
        print(line)
    print(f"{len(found)} cases compared, {len(lines)} figures worse")
    return 1 if lines else 0


def main() -> int:
    """Measure, then keep or compare."""
    options = arguments()
    if options.tables:
        write(load())
        return 0
    try:
        found = measure_all(cases(options.case), options.synth)
    except (ValueError, WrongResultError, SynthesisError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.check:
        return check(found)
    write(load() | found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
