"""The gate's statistics at the sizes that issue 5 names, and one whole market of its calibration.

As a program it measures ours: ``python -m tests.benchmarks.bench_gate REPS``. One thread.
"""

import sys
import time
from pathlib import Path

import numpy as np

from flows.calibration.one_market import Terms, judge_market
from flows.research.overfitting import probability_of_overfitting
from flows.research.superiority import superior_ability
from tests.benchmarks.measure import cpu_seconds, report, versions
from tests.benchmarks.suite import Contender, Report

SMALL = Terms(kind="driftless", days=120, trials=2, sobol=1)
WHOLE = Terms(kind="driftless")


def measure(reps: int) -> None:
    """Time PBO, SPA and a market, each on data of its own."""
    rng = np.random.default_rng(3)
    wide, long = rng.normal(size=(1000, 100)), rng.normal(size=(730, 100))
    found = versions("numpy", "scikit-learn", "tribar")
    seconds = cpu_seconds(lambda: probability_of_overfitting(wide, 16), reps)
    report("pbo", seconds, units=1, reps=reps, versions=found)
    seconds = cpu_seconds(
        lambda: superior_ability(long, block_mean=5.0, draws=5000, rng=np.random.default_rng(3)),
        reps,
    )
    report("spa", seconds, units=1, reps=reps)
    judge_market(SMALL, 1)  # compiles, and is not counted
    begun = time.process_time()
    judge_market(WHOLE, 1)
    report("market", time.process_time() - begun, units=1, reps=1)


def run(_: Path, rounds: int, reps: int) -> Report:
    """Measure the gate once a round."""
    found = Report("gate: its statistics, and a market of its calibration, one thread")
    found.measure([Contender("ours", ("-m", "tests.benchmarks.bench_gate", str(reps)))], rounds)
    found.time("PBO 1000 × 100, 16 blocks", "pbo", "run", "≤ 0.3 s", 0.3)
    found.time("SPA, 5,000 draws, 730 days × 100 trials", "spa", "run", "≤ 2 s", 2.0)
    found.time(f"a market of {WHOLE.days} judged days, {WHOLE.trials} trials", "market", "market")
    return found


if __name__ == "__main__":
    measure(int(sys.argv[1]))
