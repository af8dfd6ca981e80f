"""The command line: run seeds, with planted bugs or without, and show what happened.

`python -m tests.simulation --seed 7 --trace` prints every event of one run; `--seeds 50` runs the
seeds from 0 on and prints the violations; `--measure` plants every bug in turn and prints which
seed and which monitor saw it. `--jobs` spreads over processes, `--kept FILE` goes on where a run
was stopped, as long as the sources are the same.
"""

import argparse
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

from features.suggest import unknown_name
from tests.simulation.bugs import names
from tests.simulation.many import over_bugs, over_seeds
from tests.simulation.runner import BUGS, HOURS, run


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    add = parser.add_argument
    add("--seed", type=int, help="one seed")
    add("--seeds", type=int, default=50, help="so many seeds (default 50); of --measure, at most")
    add("--first", type=int, default=0, help="the first of them (default 0)")
    add("--hours", type=float, default=HOURS, help="simulated hours of --seed (default 3)")
    add("--quiet", action="store_true", help="no faults, with --seed")
    add("--bug", default="", metavar="NAME[+NAME]", help="planted bugs, with --seed or --measure")
    add("--bugs", action="store_true", help="list the bugs that can be planted")
    add("--measure", action="store_true", help="catch every bug, or the one of --bug")
    add("--trace", action="store_true", help="print every event, with --seed")
    add("--jobs", type=int, default=1, help="processes (default 1)")
    add("--kept", type=Path, metavar="FILE", help="where results are kept, to go on from")
    return parser


def main() -> int:
    """Run what was asked for; 1 where a monitor saw something, or missed too many bugs."""
    parser = _parser()
    given = parser.parse_args()
    say = partial(print, flush=True)
    if given.bugs:
        for bug in BUGS.values():
            say(f"{bug.name:32} {bug.line}")
        return 0
    unknown = [name for name in given.bug.split("+") if name and name not in BUGS]
    if unknown:
        parser.error(unknown_name("bug", unknown[0], BUGS))
    if given.measure:
        wanted = [given.bug] if given.bug else names()
        return 0 if over_bugs(wanted, given.seeds, given.jobs, given.kept, say) else 1
    if given.seed is not None:
        return _one(given)
    seeds = range(given.first, given.first + given.seeds)
    found = over_seeds(seeds, given.jobs, given.kept, say)
    return 1 if any(one.violations for one in found.values()) else 0


def _one(given: argparse.Namespace) -> int:
    """Run one seed and say all of it that was asked for."""
    began = time.process_time()
    result = run(given.seed, hours=given.hours, quiet=given.quiet, trace=given.trace, bug=given.bug)
    for line in result.trace:
        print(line)
    for line in result.violations:
        print(f"seed {given.seed}: {line}")
    faults = Counter(result.faults)
    print(
        f"{result.entries} entries, {result.fills} fills, {result.starts} starts, "
        f"{faults.total()} faults, {time.process_time() - began:.1f} CPU s"
    )
    print(" ".join(f"{name}={count}" for name, count in sorted(faults.items())))
    return 1 if result.violations else 0


if __name__ == "__main__":
    sys.exit(main())
