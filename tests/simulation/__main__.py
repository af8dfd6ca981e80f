"""The command line: run seeds, with a planted bug or without, and show what happened.

`python -m tests.simulation --seed 7 --trace` prints every event of one run; `--seeds 50` runs the
seeds from 0 on and prints the violations.
"""

import argparse
import sys
import time
from collections import Counter

from features.suggest import unknown_name
from tests.simulation.runner import BUGS, HOURS, run


def main() -> int:
    """Run what was asked for; 1 where a monitor saw something."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="one seed")
    parser.add_argument("--seeds", type=int, default=50, help="so many seeds (default 50)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default 0)")
    parser.add_argument("--hours", type=float, default=HOURS, help="simulated hours each")
    parser.add_argument("--quiet", action="store_true", help="no faults")
    parser.add_argument("--bug", default="", metavar="NAME[+NAME]", help="planted bugs")
    parser.add_argument("--bugs", action="store_true", help="list the bugs that can be planted")
    parser.add_argument("--trace", action="store_true", help="print every event")
    given = parser.parse_args()
    if given.bugs:
        for bug in BUGS.values():
            print(f"{bug.name:32} {bug.line}")
        return 0
    unknown = [name for name in given.bug.split("+") if name and name not in BUGS]
    if unknown:
        parser.error(unknown_name("bug", unknown[0], BUGS))
    seeds = (
        [given.seed] if given.seed is not None else range(given.first, given.first + given.seeds)
    )
    faults: Counter[str] = Counter()
    bad = entries = 0
    began = time.process_time()
    for seed in seeds:
        result = run(seed, hours=given.hours, quiet=given.quiet, trace=given.trace, bug=given.bug)
        for line in result.trace:
            print(line)
        for line in result.violations:
            print(f"seed {seed}: {line}")
        bad += bool(result.violations)
        entries += result.entries
        faults.update(result.faults)
    print(
        f"{len(seeds)} seeds, {bad} with violations, {entries} entries, "
        f"{faults.total()} faults, {time.process_time() - began:.1f} CPU s"
    )
    if given.trace or given.seed is None:
        print(" ".join(f"{name}={count}" for name, count in sorted(faults.items())))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
