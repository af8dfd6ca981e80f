"""What the candidate statistics of a gate do on series of known truth: docs/decisions/0006.

Run it: ``python -m tests.benchmarks.gate_statistics --repeats 200``. Trials share half of their
variance, days have fat tails (Student's t with 4 degrees of freedom), two years are judged.
"""

import argparse
from collections.abc import Callable

import numpy as np

from features.types import FloatArray
from flows.research.overfitting import probability_of_overfitting
from flows.research.sharpe import (
    deflated_sharpe_2014,
    effective_trials,
    probabilistic_sharpe_2012,
    sharpe_moments,
)
from flows.research.superiority import superior_ability
from flows.research.verdict import spending_level

DAYS, TRIALS, SHARED = 730, 40, 0.5
LEVEL = spending_level(0.02, 1)
SCENARIOS: dict[str, Callable[[], FloatArray]] = {
    "nothing in any trial": lambda: np.zeros(TRIALS),
    "one trial of Sharpe 1": lambda: _one(1.0),
    "one trial of Sharpe 2": lambda: _one(2.0),
    "one trial of Sharpe 3": lambda: _one(3.0),
    "all trials of Sharpe 2": lambda: np.full(TRIALS, 2.0),
    "Sharpe 0 to 3, evenly": lambda: np.linspace(0.0, 3.0, TRIALS),
}


def _one(sharpe: float) -> FloatArray:
    """Return true Sharpe ratios a year: one of them ``sharpe``, the others 0."""
    return np.concatenate(([sharpe], np.zeros(TRIALS - 1)))


def series(sharpes: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return daily returns of trials with these true Sharpe ratios, shape (days, trials)."""
    common = rng.standard_t(4, (DAYS, 1))
    own = rng.standard_t(4, (DAYS, sharpes.size))
    noise = (np.sqrt(SHARED) * common + np.sqrt(1.0 - SHARED) * own) / np.sqrt(2.0)
    return 0.01 * (noise + sharpes / np.sqrt(365.0))


def rules(x: FloatArray, rng: np.random.Generator) -> dict[str, bool]:
    """Return what each rule would do with these trials."""
    moments = [sharpe_moments(column) for column in x.T]
    sharpes = np.array([m.sharpe for m in moments])
    best = moments[int(sharpes.argmax())]
    deflated = deflated_sharpe_2014(best, effective_trials(x), float(sharpes.var(ddof=1)))
    superior = superior_ability(x, block_mean=5.0, draws=1000, rng=rng).consistent <= LEVEL
    overfit = probability_of_overfitting(x, 16)
    return {
        "PSR of the best >= 0.95": probabilistic_sharpe_2012(best) >= 0.95,
        "DSR >= 0.95": deflated >= 0.95,
        "PBO <= 0.2": overfit.probability <= 0.2,
        f"SPA_c <= {LEVEL:.4f}": superior,
        "loss after selection <= 0.2": overfit.loss_probability <= 0.2,
        "both of the last two": superior and overfit.loss_probability <= 0.2,
    }


def table(repeats: int, seed: int) -> str:
    """Return a markdown table of how often each rule promotes in each scenario."""
    rng = np.random.default_rng(seed)
    names = list(rules(series(np.zeros(TRIALS), rng), rng))
    lines = ["| true Sharpe ratios | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for scenario, sharpes in SCENARIOS.items():
        found = [list(rules(series(sharpes(), rng), rng).values()) for _ in range(repeats)]
        rates = np.mean(found, axis=0)
        lines.append(f"| {scenario} | " + " | ".join(f"{rate:.0%}" for rate in rates) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(table(given.repeats, given.seed))
