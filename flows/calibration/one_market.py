"""How often the gate promotes where there is nothing to find, and where there is something.

Decides nothing about a model: makes a market of known truth and runs the whole pipeline on it
(search, training, judging) with the pipeline's own functions. Rule: a market is named by its terms
and seed, so every count can be made again.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import inf
from typing import Any

import numpy as np

from features.catalog import default_catalog
from features.costs import Costs
from features.errors import InputError
from features.signals import ADAPTIVE_BOUNDS, SignalParams
from features.suggest import unknown_name
from flows.research.evaluation import evaluate_model
from flows.research.evidence import Evidence
from flows.research.market import DAY_MS, Dataset, build_market, make_dataset
from flows.research.models import Machine
from flows.research.nulls import Histories, drifting, driftless, sign_flipped
from flows.research.objective import Trial, TrialResult, evaluate
from flows.research.performance import sharpe_annual
from flows.research.planted import plant_sharpe
from flows.research.recipe import BarrierParams, Recipe
from flows.research.space import search_space, sobol_points, start_point
from flows.research.training import SHARES, cuts, train
from flows.research.verdict import Attempts, GateLimits, gather, judge_model
from flows.training import study

START_MS = 1_640_995_200_000
NULLS = ("driftless", "tide up", "tide down", "flipped")
HARDER = ("prolonged", "elsewhere")
EDGES = ("planted", *HARDER)
KINDS = (*NULLS, *EDGES)
EDGE_BARS = 24
FREE = Costs(taker_fee=0.0, maker_fee=0.0, slippage_base=0.0, slippage_volatility=0.0)
# Four and three times what a day moves here (3.7 %): a position is left by the time barrier, which
# is what the planted edges ask for, unless the day is a wild one.
BARRIERS = BarrierParams(profit=0.15, loss=0.11, horizon_hours=24.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The size of a market and of the search on it.

    ``days`` are those judged out of sample; the history to learn from and the features' warm-up
    come before them.
    """

    kind: str
    symbols: int = 3
    interval_ms: int = 3_600_000
    days: int = 730
    trials: int = 30
    sobol: int = 16
    sharpe: float = 0.0
    """Net Sharpe ratio a year of who knows a planted edge, over the judged days."""
    folds: int = 4
    train_share: float = 0.25

    @property
    def judged_share(self) -> float:
        """Share of the usable history that is judged: all but what the first fold learns from."""
        return 1.0 - self.train_share * sum(SHARES[:2])

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(unknown_name("kind of market", self.kind, KINDS))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Searched:
    """What the pipeline made of a market: all that the gate looks at, or why there is no model."""

    attempts: Attempts
    evidence: Evidence | None
    reason: str
    score: float
    oracle: float


def judge_market(
    terms: Terms, seed: int, real: Histories | None = None, limits: GateLimits | None = None
) -> dict[str, Any]:
    """Run the whole pipeline on one market and return the verdict and its figures."""
    found = search_market(terms, seed, real)
    row: dict[str, Any] = {
        "kind": terms.kind,
        "seed": seed,
        "score": found.score,
        "oracle": found.oracle,
        "terms": asdict(terms),
    }
    if found.evidence is None:
        return {**row, "promoted": False, "failed": {"training": found.reason}}
    verdict = judge_model(found.evidence, found.attempts, limits or GateLimits())
    return {
        **row,
        "promoted": verdict.passed,
        "failed": {c.name: c.value for c in verdict.criteria if c.binding and not c.passed},
        "values": {c.name: c.value for c in verdict.criteria},
        "sharpe": sharpe_annual(found.evidence.records["model"].daily),
        "trades": found.evidence.records["model"].metrics.get("trades", 0.0),
    }


def search_market(terms: Terms, seed: int, real: Histories | None = None) -> Searched:
    """Make the market, search on it, train the best and measure it."""
    costs = Costs() if terms.kind in EDGES else FREE
    data, trial, oracle = _market(terms, seed, costs, real)
    base, machine = Recipe(costs=costs, barriers=BARRIERS), Machine(threads=1)
    space = search_space(base)

    def judged(point: Mapping[str, float]) -> TrialResult:
        return evaluate(point, base=base, dataset=data, trial=trial, machine=machine)

    memory = study.open_study(None, f"{terms.kind}-{seed}")
    study.prepare(memory, space, [start_point(space)], study.START)
    study.prepare(memory, space, sobol_points(space, terms.sobol, seed), study.SOBOL)
    study.run_trials(memory, space, judged, total=terms.trials, seed=seed, on_trial=lambda _: None)
    records = study.records(memory)
    best = study.chosen(memory, space, trial.score_days)
    evidence, reason = None, ""
    try:
        trained = train(data, base.with_point(best.point), trial, machine)
        evidence = evaluate_model(trained, data, trial.judged_ms, parity_symbols=1, written=base)
    except InputError as error:
        reason = str(error)
    hold = evidence.hold if evidence is not None else np.zeros(trial.days)
    return Searched(
        attempts=gather(
            [r.result for r in records],
            [r.is_sobol for r in records],
            [r.number for r in records].index(best.number),
            hold,
        ),
        evidence=evidence,
        reason=reason,
        score=best.result.score,
        oracle=oracle,
    )


def _market(
    terms: Terms, seed: int, costs: Costs, real: Histories | None
) -> tuple[Dataset, Trial, float]:
    """Return the dataset, how trials on it are judged, and the oracle's Sharpe ratio."""
    catalog = default_catalog()
    histories = _histories(terms, np.random.default_rng(seed), real)
    data = _dataset(histories)
    # The stated warm-up is longer than what has no number yet: leave out the difference.
    surplus = max(0, catalog.warmup_bars - data.markets[0].first)
    histories = [(candles.slice(surplus, candles.n), f) for candles, f in histories]
    data = _dataset(histories)
    borders = cuts(data)
    trial = Trial(
        first_ms=borders.first_ms,
        test_ms=borders.test_ms,
        last_ms=borders.last_ms,
        folds=terms.folds,
        train_share=terms.train_share,
        seed=seed,
    )
    if terms.kind not in EDGES:
        return data, trial, 0.0
    market, reached = plant_sharpe(
        histories,
        bars=EDGE_BARS,
        sharpe=terms.sharpe,
        costs=costs,
        first_day=trial.first_day,
        days=trial.days,
        signal=_elsewhere(seed) if terms.kind == "elsewhere" else None,
        prolonged=terms.kind == "prolonged",
    )
    return _dataset(market.histories), trial, reached


def _elsewhere(seed: int) -> SignalParams:
    """Return a signal up to half of the way from the written one to the bounds, each parameter."""
    rng = np.random.default_rng([seed, 1])
    point = {}
    for name, (start, low, high) in ADAPTIVE_BOUNDS.items():
        way = float(rng.uniform(-0.5, 0.5))
        point[f"signal.{name}"] = start + abs(way) * ((high if way > 0.0 else low) - start)
    return Recipe().with_point(point).signal


def _dataset(histories: Histories) -> Dataset:
    catalog = default_catalog()
    markets = [
        build_market(f"S{number:02d}USDT", candles, funding, catalog, days_min=-inf)
        for number, (candles, funding) in enumerate(histories)
    ]
    return make_dataset(catalog, markets, "one_hot")


def _histories(terms: Terms, rng: np.random.Generator, real: Histories | None) -> Histories:
    if terms.kind == "flipped":
        if real is None:
            raise InputError("flipped markets need real candles; give a folder of them")
        return sign_flipped(_window(real, rng, terms), rng)
    made = driftless(
        rng,
        symbols=terms.symbols,
        bars=_bars(terms),
        interval_ms=terms.interval_ms,
        start_ms=START_MS,
    )
    if terms.kind == "tide up":
        return drifting(made, 1.0)
    if terms.kind == "tide down":
        return drifting(made, -1.0)
    return made


def _bars(terms: Terms) -> int:
    """Return the bars of a market: warm-up, what is learnt from first, and the judged days."""
    usable = terms.days / terms.judged_share * DAY_MS / terms.interval_ms
    return round(usable) + default_catalog().warmup_bars


def _window(real: Histories, rng: np.random.Generator, terms: Terms) -> Histories:
    """Return a stretch of real histories of the market's length, begun anywhere."""
    n, bars = real[0][0].n, _bars(terms)
    if n < bars:
        raise InputError(f"flipped markets need {bars} bars of real candles, there are {n}")
    first = int(rng.integers(0, n - bars + 1))
    return [(candles.slice(first, first + bars), f) for candles, f in real[: terms.symbols]]
