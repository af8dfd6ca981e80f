"""How often the gate promotes where there is nothing to find, and where there is something.

Decides nothing about a model: makes markets of known truth, runs the whole pipeline on each
(search, training, judging) and counts verdicts. The pipeline's own functions are used as they are.
Rule: a market is named by its kind and seed, so every count can be made again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from features.catalog import default_catalog
from features.costs import Costs
from features.errors import InputError
from features.suggest import unknown_name
from features.types import FloatArray
from flows import study
from flows.research.evaluation import evaluate_model
from flows.research.market import DAY_MS, build_market, make_dataset
from flows.research.models import Machine
from flows.research.nulls import Histories, drifting, driftless, oracle_daily, planted, sign_flipped
from flows.research.objective import Trial, TrialResult, evaluate
from flows.research.performance import sharpe_annual
from flows.research.recipe import Recipe
from flows.research.space import search_space, sobol_points
from flows.research.training import cuts, train
from flows.research.verdict import Attempts, GateLimits, best_trial, judge_model

START_MS = 1_640_995_200_000
KINDS = ("driftless", "tide up", "tide down", "planted", "flipped")
EDGE_BARS = 96
FREE = Costs(taker_fee=0.0, maker_fee=0.0, slippage_base=0.0, slippage_volatility=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The size of a market and of the search on it."""

    kind: str
    symbols: int = 3
    interval_ms: int = 3_600_000
    days: int = 730
    trials: int = 30
    sobol: int = 16
    strength: float = 0.0
    folds: int = 4
    train_share: float = 0.4

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(unknown_name("kind of market", self.kind, KINDS))


def judge_market(
    terms: Terms, seed: int, real: Histories | None = None, limits: GateLimits | None = None
) -> dict[str, Any]:
    """Run the whole pipeline on one market and return the verdict and its figures."""
    rng = np.random.default_rng(seed)
    catalog = default_catalog()
    bars = terms.days * DAY_MS // terms.interval_ms + catalog.warmup_bars
    histories = _histories(terms, rng, bars, real)
    costs = Costs() if terms.kind == "planted" else FREE
    markets = [
        build_market(f"S{number:02d}USDT", candles, funding, catalog, days_min=30.0)
        for number, (candles, funding) in enumerate(histories)
    ]
    data = make_dataset(catalog, markets, "one_hot")
    base, machine = Recipe(costs=costs), Machine(threads=1)
    borders = cuts(data)
    trial = Trial(
        first_ms=borders.first_ms,
        test_ms=borders.test_ms,
        folds=terms.folds,
        train_share=terms.train_share,
        seed=seed,
    )
    space = search_space(base)

    def judged(point: Mapping[str, float]) -> TrialResult:
        return evaluate(point, base=base, dataset=data, trial=trial, machine=machine)

    found = study.open_study(None, f"{terms.kind}-{seed}")
    study.prepare(found, sobol_points(space, terms.sobol, seed), "sobol")
    study.run_trials(found, space, judged, total=terms.trials, seed=seed, on_trial=lambda _: None)
    records = study.records(found)
    best = records[best_trial([r.result.score for r in records])]
    row: dict[str, Any] = {"kind": terms.kind, "seed": seed, "score": best.result.score}
    if terms.kind == "planted":
        row["oracle"] = _oracle_sharpe(histories, costs, trial)
    try:
        trained = train(data, base.with_point(best.point), trial, machine)
    except InputError as error:
        return {**row, "promoted": False, "failed": {"training": str(error)}}
    evidence = evaluate_model(trained, data, trial.judged_ms)
    attempts = _attempts(records, best, evidence.hold)
    verdict = judge_model(evidence, attempts, limits or GateLimits())
    return {
        **row,
        "promoted": verdict.passed,
        "failed": {c.name: c.value for c in verdict.criteria if c.binding and not c.passed},
        "values": {c.name: c.value for c in verdict.criteria},
        "sharpe": sharpe_annual(evidence.records["model"].daily),
        "trades": evidence.records["model"].metrics.get("trades", 0.0),
        "terms": asdict(terms),
    }


def _oracle_sharpe(histories: Histories, costs: Costs, trial: Trial) -> float:
    """Return the annual Sharpe ratio of who knows the planted rule, on the judged days."""
    daily = oracle_daily(
        histories,
        default_catalog(),
        bars=EDGE_BARS,
        costs=costs,
        first_day=trial.first_day,
        days=trial.days,
    )
    return sharpe_annual(daily)


def _attempts(
    records: Sequence[study.TrialRecord], best: study.TrialRecord, market: FloatArray
) -> Attempts:
    series = np.array([r.result.daily for r in records]).T
    return Attempts(
        series=series,
        exposure=np.array([r.result.exposure for r in records]),
        market=market[: series.shape[0]],
        sobol=np.array([r.is_sobol for r in records]),
        chosen=[r.number for r in records].index(best.number),
    )


def _histories(
    terms: Terms, rng: np.random.Generator, bars: int, real: Histories | None
) -> Histories:
    if terms.kind == "flipped":
        if real is None:
            raise InputError("flipped markets need real candles; give a folder of them")
        return sign_flipped(real, rng)
    made = driftless(
        rng,
        symbols=terms.symbols,
        bars=bars,
        interval_ms=terms.interval_ms,
        start_ms=START_MS,
    )
    if terms.kind == "tide up":
        return drifting(made, 1.0)
    if terms.kind == "tide down":
        return drifting(made, -1.0)
    if terms.kind == "planted":
        return planted(made, default_catalog(), bars=EDGE_BARS, strength=terms.strength)
    return made
