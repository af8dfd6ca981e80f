"""What one point of the search space is worth, judged by walking forward through time.

Decides the score of a trial: the mean of its folds' annual Sharpe ratios, net of all costs, minus a
penalty for folds that disagree and for too few trades. No row whose span reaches the test part has
any influence on a score. Rule: every trial is judged on the same days, idle days included, and its
daily series is kept whatever the score, through the test part: the gate needs the failures as much
as the best, and the longest record there is.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from features.errors import InputError
from features.types import FloatArray
from flows.research.answers import Answers, Unseen
from flows.research.book import DAY_MS, daily_returns, mean_exposure, one_at_a_time
from flows.research.economics import expect, wishes
from flows.research.fitting import (
    Fitted,
    calibrators,
    fit,
    groups,
    judge,
    measure_rows,
)
from flows.research.market import Dataset
from flows.research.models import Machine, joined
from flows.research.performance import DAYS_A_YEAR, return_metrics, sharpe_annual
from flows.research.recipe import HOUR_MS, Recipe
from flows.research.samples import Samples, draw_samples, prices
from flows.research.splits import Fold, Rows, walk_edges, walk_forward

WORST = -10.0
SHORTAGE_PENALTY = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """How trials are judged; the same for all trials of a study.

    ``first_ms``…``test_ms`` is the time that scores come from; the walk-forward judges from
    ``judged_ms``. The test part, up to ``last_ms``, is one more fold that no score sees.
    """

    first_ms: int
    test_ms: int
    last_ms: int
    folds: int = 4
    train_share: float = 0.25
    embargo_hours: float = 0.0
    stability_penalty: float = 0.5
    trades_min: int = 100
    seed: int = 7

    @property
    def judged_ms(self) -> int:
        """Time from which trials are judged."""
        return int(self.first_ms + (self.test_ms - self.first_ms) * self.train_share)

    @property
    def first_day(self) -> int:
        """First judged UTC day, in days since 1970."""
        return self.judged_ms // DAY_MS

    @property
    def days(self) -> int:
        """Number of judged days, the test part's included."""
        return (self.last_ms - 1) // DAY_MS - self.first_day + 1

    @property
    def score_days(self) -> int:
        """Number of whole judged days before the test part: the days that scores come from."""
        return self.test_ms // DAY_MS - self.first_day


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """What a trial gave; ``daily`` goes through the test part, all other figures end before it."""

    score: float
    fold_sharpes: tuple[float, ...]
    trades: int
    events: int
    metrics: Mapping[str, float]
    daily: tuple[float, ...]
    exposure: float = 0.0
    """Mean signed share of the capital that was in the market; see :func:`mean_exposure`."""
    trades_short: float = 1.0
    """Share of the least number of trades that is missing."""
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values; the daily series keeps 8 decimals."""
        plain = asdict(self)
        plain["daily"] = [round(x, 8) for x in self.daily]
        plain["fold_sharpes"] = list(self.fold_sharpes)
        plain["metrics"] = dict(self.metrics)
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "TrialResult":
        """Return the result that :meth:`as_dict` wrote."""
        return cls(
            score=float(plain["score"]),
            fold_sharpes=tuple(plain["fold_sharpes"]),
            trades=int(plain["trades"]),
            events=int(plain["events"]),
            metrics=dict(plain["metrics"]),
            daily=tuple(plain["daily"]),
            exposure=float(plain["exposure"]),
            trades_short=float(plain.get("trades_short", 0.0)),
            reason=str(plain["reason"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Walk:
    """Samples, folds and the answers to every judged row, in order of the folds.

    ``fitted`` are the folds' models and ``spans`` the times [from, to) in which they judge; a fold
    with too little to learn from is left out: it trades nothing.
    """

    samples: Samples
    folds: tuple[Fold, ...]
    answers: tuple[Answers, ...]
    fitted: tuple[Fitted, ...]
    spans: tuple[tuple[int, int], ...]

    def rounds(self, key: int) -> tuple[int, ...]:
        """Return the boosting rounds of a part in each fold that has it."""
        found = (one.parts[key] for one in self.fitted if key in one.parts)
        return tuple(int(part.booster.num_boosted_rounds()) for part in found)

    @property
    def unseen(self) -> Unseen:
        """Raw probabilities of all judged rows."""
        parts = [answer.raw for answer in self.answers]
        return Unseen(
            rows=np.concatenate([part.rows for part in parts]),
            boosted=np.concatenate([part.boosted for part in parts]),
            linear=np.concatenate([part.linear for part in parts]),
        )


def embargo_ms(recipe: Recipe, trial: Trial) -> int:
    """Return the distance kept between training and judging spans."""
    return int(max(recipe.barriers.horizon_hours, trial.embargo_hours) * HOUR_MS)


def walk(samples: Samples, recipe: Recipe, trial: Trial, machine: Machine) -> Walk:
    """Fit and judge every fold of the time before the test part.

    A fold with too few rows, or rows of one class, before it is idle.

    Raises
    ------
    InputError
        Where no fold has enough to learn from; the reason is the last fold's.
    """
    distance = embargo_ms(recipe, trial)
    before_test = samples.end_ms < trial.test_ms
    folds: list[Fold] = []
    answers: list[Answers] = []
    models: list[Fitted] = []
    spans: list[tuple[int, int]] = []
    earlier: Unseen | None = None
    reason = InputError("there is no fold")
    found = walk_forward(
        samples.start_ms,
        samples.end_ms,
        first_ms=trial.first_ms,
        last_ms=trial.test_ms,
        folds=trial.folds,
        embargo_ms=distance,
        train_share=trial.train_share,
    )
    edges = walk_edges(trial.first_ms, trial.test_ms, trial.folds, trial.train_share)
    for fold, (begin, end) in zip(found, pairwise(edges.tolist()), strict=True):
        train, test = fold.train[before_test[fold.train]], fold.test[before_test[fold.test]]
        try:
            fitted = _fit(samples, train, recipe, trial, earlier, machine)
        except InputError as error:
            reason = error
            continue
        judged = judge(samples, test, fitted)
        earlier = judged.raw if earlier is None else earlier.but(judged.raw)
        folds.append(Fold(train=train, test=test))
        answers.append(judged)
        models.append(fitted)
        spans.append((begin, end))
    if earlier is None or earlier.rows.size == 0:
        raise reason
    return Walk(
        samples=samples,
        folds=tuple(folds),
        answers=tuple(answers),
        fitted=tuple(models),
        spans=tuple(spans),
    )


def judge_test(walked: Walk, recipe: Recipe, trial: Trial, machine: Machine) -> Answers:
    """Return what a model fitted on all rows before the test part says of the test part."""
    samples = walked.samples
    known = np.flatnonzero(samples.end_ms < trial.test_ms - embargo_ms(recipe, trial))
    test = np.flatnonzero(samples.start_ms >= trial.test_ms)
    fitted = _fit(samples, known, recipe, trial, walked.unseen, machine)
    return judge(samples, test, fitted)


def _fit(
    samples: Samples,
    rows: Rows,
    recipe: Recipe,
    trial: Trial,
    earlier: Unseen | None,
    machine: Machine,
) -> Fitted:
    return fit(
        samples,
        rows,
        recipe,
        earlier=earlier,
        embargo_ms=embargo_ms(recipe, trial),
        seed=trial.seed,
        machine=machine,
    )


def evaluate(
    point: Mapping[str, float],
    *,
    base: Recipe,
    dataset: Dataset,
    trial: Trial,
    machine: Machine,
) -> TrialResult:
    """Return what a point is worth; one that cannot be judged is worth the least, and says why."""
    recipe = base.with_point(point)
    try:
        samples = draw_samples(dataset, recipe)
        walked = walk(samples, recipe, trial, machine)
        last = judge_test(walked, recipe, trial, machine)
    except InputError as error:
        return TrialResult(
            score=WORST,
            fold_sharpes=(),
            trades=0,
            events=0,
            metrics={},
            daily=(0.0,) * trial.days,
            reason=str(error),
        )
    return _result(walked, last, recipe, dataset, trial)


def _result(
    walked: Walk, last: Answers, recipe: Recipe, dataset: Dataset, trial: Trial
) -> TrialResult:
    samples = walked.samples
    wished = np.zeros(samples.n, dtype=np.bool_)
    for answer in (*walked.answers, last):
        wished[answer.rows] = wishes(answer.expected, recipe.model.kappa)
    rows = one_at_a_time(samples.trips, wished)
    held = samples.trips.take(rows)
    daily = daily_returns(held, prices(dataset), first_day=trial.first_day, days=trial.days)
    scored = daily[: trial.score_days]
    sharpes = fold_sharpes(scored, trial.folds)
    net = held.net[samples.end_ms[rows] < trial.test_ms]
    trades = int(net.size)
    # What the finished model would take: all folds' answers calibrated at once. Its result is not
    # looked at, only whether it would trade at all.
    active = min(trades, _trades_when_finished(walked, recipe))
    shortage = max(0.0, 1.0 - active / trial.trades_min)
    score = (
        float(np.mean(sharpes))
        - trial.stability_penalty * float(np.std(sharpes))
        - SHORTAGE_PENALTY * shortage
    )
    return TrialResult(
        score=score,
        fold_sharpes=tuple(float(s) for s in sharpes),
        trades=trades,
        events=samples.n,
        metrics={
            **return_metrics(scored),
            # Bought and sold for a symbol's share of the capital, times the capital, a year.
            "turnover": 2.0 * trades / len(dataset.markets) / trial.score_days * DAYS_A_YEAR,
            "expectancy": float(net.mean()) if trades else 0.0,
            "win_rate": float((net > 0.0).mean()) if trades else 0.0,
        },
        daily=tuple(float(x) for x in daily),
        trades_short=shortage,
        exposure=mean_exposure(
            held, dataset.interval_ms, days=trial.days, symbols=len(dataset.markets)
        ),
    )


def _trades_when_finished(walked: Walk, recipe: Recipe) -> int:
    """Return how many trades the calibrators and economics of all judged rows would take."""
    samples, unseen = walked.samples, walked.unseen
    wished = np.zeros(samples.n, dtype=np.bool_)
    for _, rows in groups(samples, unseen.rows):
        mine = unseen.within(rows)
        try:
            ensemble, _ = calibrators(samples, mine, recipe.model.ensemble_weight)
        except InputError:  # one class only of a symbol that learns apart: it would have no model
            continue
        raw = joined(mine.boosted, mine.linear, recipe.model.ensemble_weight)
        expected = expect(
            measure_rows(samples, mine.rows),
            ensemble.apply(raw),
            samples.symbol[mine.rows],
            samples.volatility[mine.rows],
        )
        wished[mine.rows] = wishes(expected, recipe.model.kappa)
    return int(one_at_a_time(samples.trips, wished).size)


def fold_sharpes(daily: FloatArray, folds: int) -> list[float]:
    """Return the annual Sharpe ratio of each of ``folds`` equal stretches of the judged days."""
    return [sharpe_annual(part) for part in np.array_split(daily, folds)]
