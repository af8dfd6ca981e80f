"""Dataset, training and search on three symbols × two years of 15-minute bars (issue 5).

As a program it measures ours: ``python -m tests.benchmarks.bench_training TRIALS``. Markets are
simulated; all features of the catalog; one thread, so that two workers take half the time.
"""

import sys
import time
from pathlib import Path

import numpy as np

from features.catalog import default_catalog
from features.synthetic import simulate_market
from flows.research.evaluation import evaluate_model
from flows.research.market import Dataset, build_market, make_dataset
from flows.research.models import Machine
from flows.research.objective import Trial, evaluate
from flows.research.recipe import Recipe
from flows.research.space import search_space, sobol_points
from flows.research.training import cuts, train
from tests.benchmarks.measure import report, versions
from tests.benchmarks.suite import Contender, Report

SYMBOLS, BARS, TRIALS = 3, 70_080, 50
INTERVAL_MS, START_MS = 900_000, 1_704_067_200_000


def dataset() -> Dataset:
    """Return the features of all symbols."""
    catalog = default_catalog()
    simulated = simulate_market(
        np.random.default_rng(5),
        symbols=SYMBOLS,
        bars=BARS,
        interval_ms=INTERVAL_MS,
        start_ms=START_MS,
    )
    markets = [
        build_market(f"S{k}USDT", one.candles, one.funding, catalog, days_min=60.0)
        for k, one in enumerate(simulated)
    ]
    return make_dataset(catalog, markets, "one_hot")


def measure(trials: int) -> None:
    """Time a whole training, then the trials of a search one after the other."""
    build_market_once()
    begun = time.process_time()
    data = dataset()
    borders = cuts(data)
    terms = Trial(first_ms=borders.first_ms, test_ms=borders.test_ms, last_ms=borders.last_ms)
    machine, recipe = Machine(threads=1), Recipe()
    evaluate_model(train(data, recipe, terms, machine), data, terms.judged_ms)
    seconds = time.process_time() - begun
    width = len(data.catalog.names)
    found = versions("numpy", "scikit-learn", "tribar")
    report("training", seconds, units=1, reps=1, features=width, versions=found)
    space = search_space(recipe)
    points = sobol_points(space, trials, terms.seed)
    begun = time.process_time()
    for point in points:
        evaluate(point, base=recipe, dataset=data, trial=terms, machine=machine)
    report("search", time.process_time() - begun, units=1, reps=1)


def build_market_once() -> None:
    """Compile the features on a short history: compilation is cached and is no part of the time."""
    (one,) = simulate_market(
        np.random.default_rng(5), symbols=1, bars=9_000, interval_ms=INTERVAL_MS, start_ms=START_MS
    )
    build_market("SUSDT", one.candles, one.funding, default_catalog(), days_min=0.0)


def run(_: Path, rounds: int, reps: int) -> Report:
    """Measure training and search once: they take minutes."""
    del rounds, reps
    found = Report(f"training: {SYMBOLS} symbols × {BARS:,} bars of 15 minutes, one thread")
    module = ("-m", "tests.benchmarks.bench_training", str(TRIALS))
    found.measure([Contender("ours", module)], 1)
    found.time("dataset and training, CPU", "training", "run", "≤ 20 s", 20.0)
    what = f"{TRIALS} trials, CPU of one worker (two cores halve it)"
    found.time(what, "search", "search", "≤ 10 min", 600.0)
    return found


if __name__ == "__main__":
    measure(int(sys.argv[1]))
