"""Whether a model has earned the market: the gate's verdict and its reasons.

Decides passed or refused from figures already made, each criterion with its value, threshold and
reason in plain words. Pure: no data is read, no model fitted. Rule: every binding criterion must
hold; one that cannot be computed does not hold; figures that cannot decide (deflated Sharpe, PBO,
PSR) are reported beside, never binding (docs/decisions say why).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, nan, pi, sqrt

import numpy as np
from numpy.typing import NDArray

from features.types import FloatArray
from flows.research.criteria import Criterion, Verdict, at_least, at_most, reported
from flows.research.evidence import WRITTEN, Evidence, Record
from flows.research.objective import TrialResult
from flows.research.overfitting import probability_of_overfitting
from flows.research.performance import DAYS_A_YEAR, drawdowns, equity_curve, sharpe_annual
from flows.research.sharpe import (
    deflated_sharpe_2014,
    effective_trials,
    minimum_track_record_2012,
    probabilistic_sharpe_2012,
    sharpe_moments,
)
from flows.research.superiority import chances_not_worse, superior_ability

BLOCK_DAYS_MIN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class GateLimits:
    """What a model must show; fractions, days and counts as named.

    ``written_share`` is the part of the level of superior predictive ability that the written
    signal is tested with; the rest is for the search.
    """

    trades_min: int = 100
    drawdown_max: float = 0.3
    volatility_target: float = 0.25
    baseline_level: float = 0.02
    spa_level: float = 0.02
    spa_draws: int = 5000
    loss_probability_max: float = 0.2
    cscv_blocks: int = 16
    written_share: float = 0.25
    track_record_level: float = 0.001
    calibration_error_max: float = 0.1
    log_loss_margin: float = 0.005
    seed: int = 7


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attempts:
    """What was tried: the daily series of all trials, shape (days, trials).

    ``exposure`` is each trial's mean signed share in the market, shape (trials,), ``market`` the
    market's daily return on the same days. ``sobol`` marks trials drawn before anything was known,
    ``chosen`` is the column that became the model, ``attempt`` counts how often this recipe has
    come before the gate, from 1.
    """

    series: FloatArray
    exposure: FloatArray
    market: FloatArray
    sobol: NDArray[np.bool_]
    chosen: int
    attempt: int = 1

    @property
    def alpha(self) -> FloatArray:
        """Each trial's returns over the same mean share of the market, shape (days, trials)."""
        return self.series - self.market[:, None] * self.exposure


def gather(
    results: Sequence[TrialResult], sobol: Sequence[bool], chosen: int, market: FloatArray
) -> Attempts:
    """Return every trial's daily series side by side; the market's begins on the same day."""
    series = np.array([result.daily for result in results]).T
    return Attempts(
        series=series,
        exposure=np.array([result.exposure for result in results]),
        market=market[: series.shape[0]],
        sobol=np.array(sobol, dtype=np.bool_),
        chosen=chosen,
    )


def spending_level(total: float, attempt: int) -> float:
    """Return the level of attempt k so that all attempts together spend ``total``: α·6/(π²k²)."""
    return total * 6.0 / (pi * pi * attempt * attempt)


def judge_model(evidence: Evidence, attempts: Attempts, limits: GateLimits) -> Verdict:
    """Return the verdict on a finished model and the search that found it."""
    return Verdict(
        attempt=attempts.attempt,
        criteria=(
            *_soundness(evidence),
            *_record_criteria(evidence, limits),
            _superiority(attempts, evidence, limits),
            _loss_probability(attempts, limits),
            *_reported(evidence, attempts, limits),
        ),
    )


def _soundness(evidence: Evidence) -> list[Criterion]:
    """Return the criteria that what was measured is what will be traded, and was not known."""
    return [
        at_most(
            "feature parity",
            float(evidence.unequal_cells) if evidence.compared_cells else nan,
            0.0,
            f"{evidence.unequal_cells} of {evidence.compared_cells} features of the newest bars "
            "differ between training and the live stream",
        ),
        at_most(
            "no leakage",
            float(evidence.leaked_rows) if evidence.compared_cells else nan,
            0.0,
            f"{evidence.leaked_rows} rows trained a model and touch, with the embargo, what "
            "judged it",
        ),
    ]


def _record_criteria(evidence: Evidence, limits: GateLimits) -> list[Criterion]:
    """Return the criteria on the out-of-sample record of the model itself."""
    model = evidence.records["model"]
    trades = model.metrics.get("trades", 0.0)
    moments = sharpe_moments(alpha(model, evidence.hold))
    needed = minimum_track_record_2012(moments, 0.0, limits.track_record_level)
    drawdown = _drawdown_at_target(model.daily, limits.volatility_target)
    stressed = float(alpha(evidence.records["costs x2"], evidence.hold).sum())
    worst = min(evidence.tuned, default=nan)
    return [
        at_least(
            "trades",
            trades,
            limits.trades_min,
            f"{trades:.0f} trades out of sample, {limits.trades_min} are needed to say anything",
        ),
        at_least(
            "track record",
            float(moments.periods),
            needed,
            f"{moments.periods} days judged; a Sharpe ratio of "
            f"{moments.sharpe * sqrt(DAYS_A_YEAR):.2f} a year over its share of the market needs "
            + (f"{needed:.0f} days" if isfinite(needed) else "to be positive")
            + f" to stand at {1.0 - limits.track_record_level:.1%}",
        ),
        at_least(
            "costs x2",
            stressed,
            0.0,
            f"with fees, slippage and funding doubled the record ends at {stressed:+.2%} over its "
            "share of the market",
        ),
        at_least(
            "worst of self-tuning",
            worst,
            0.0,
            f"had self-tuning moved the signal anywhere it may, the worst of "
            f"{len(evidence.tuned)} places would have ended at {worst:+.2%}"
            if evidence.tuned
            else "the places that self-tuning may go to were not measured; train again",
        ),
        at_most(
            "max drawdown",
            drawdown,
            limits.drawdown_max,
            f"the deepest fall from a high was {drawdown:.1%} with the book held to a volatility "
            f"of {limits.volatility_target:.0%} a year; allowed {limits.drawdown_max:.0%}",
        ),
        *_baseline_criteria(evidence, limits),
    ]


def alpha(record: Record, hold: FloatArray) -> FloatArray:
    """Return a record's days over the same mean share of the market: a tide is no skill."""
    excess: FloatArray = record.daily - record.metrics.get("exposure", 0.0) * hold
    return excess


def _drawdown_at_target(daily: FloatArray, target: float) -> float:
    """Return the deepest drawdown of the record scaled down to the traded volatility."""
    yearly = float(daily.std(ddof=1)) * sqrt(DAYS_A_YEAR)
    share = min(1.0, target / yearly) if yearly > 0.0 else 1.0
    return float(drawdowns(equity_curve(daily * share)).max())


def _baseline_criteria(evidence: Evidence, limits: GateLimits) -> list[Criterion]:
    """Return the criteria that the model must stand beside what is simpler than it.

    Where the edge is in the signal itself, a model adds nothing and a bare comparison of two
    Sharpe ratios is a coin toss: it must not be worse by more than chance explains.
    """
    names = ("signal alone", "logistic alone")
    ours = evidence.records["model"].daily
    others = [evidence.records[name].daily for name in names]
    chances = chances_not_worse(
        ours,
        np.column_stack(others),
        block_mean=max(BLOCK_DAYS_MIN, 3.0 * evidence.horizon_hours / 24.0),
        draws=limits.spa_draws,
        rng=np.random.default_rng(limits.seed),
    )
    out = []
    for name, theirs, chance in zip(names, others, chances.tolist(), strict=True):
        out.append(
            at_least(
                f"against {name}",
                chance,
                limits.baseline_level,
                f"Sharpe ratio {sharpe_annual(ours):.2f} against {sharpe_annual(theirs):.2f} of "
                f"the {name} on the same days; at least as good in {chance:.0%} of draws",
            )
        )
    return out


def _superiority(attempts: Attempts, evidence: Evidence, limits: GateLimits) -> Criterion:
    """Return Hansen's test over every trial and the written signal, at the level of this use.

    The written signal was there before the search: it is tested by itself with its share of the
    level, and pays for nobody's trials. The value is the smaller p-value, each over its share.
    """
    level = spending_level(limits.spa_level, attempts.attempt)
    name = "superior predictive ability"
    days, trials = attempts.series.shape
    if days < 10 * BLOCK_DAYS_MIN:
        reason = f"only {days} judged days; {10 * BLOCK_DAYS_MIN} are needed"
        return Criterion(name=name, value=nan, threshold=level, passed=False, reason=reason)
    written = evidence.records.get(WRITTEN)
    families = [(attempts.alpha, 1.0 - limits.written_share)]
    if written is not None:
        families.append((alpha(written, evidence.hold)[:, None], limits.written_share))
    chances = [
        superior_ability(
            family,
            block_mean=max(BLOCK_DAYS_MIN, 3.0 * evidence.horizon_hours / 24.0),
            draws=limits.spa_draws,
            rng=np.random.default_rng(limits.seed),
        ).consistent
        for family, _ in families
    ]
    found = min(1.0, *(p / share for p, (_, share) in zip(chances, families, strict=True)))
    return at_most(
        name,
        found,
        level,
        f"if none of the {trials} trials could beat its share of the market, a best one like this "
        f"would turn up with probability {chances[0]:.4f}"
        + (f", a written signal like this with {chances[1]:.4f}" if len(chances) > 1 else "")
        + f"; together {found:.4f}, allowed at attempt {attempts.attempt}: {level:.4f}",
    )


def _loss_probability(attempts: Attempts, limits: GateLimits) -> Criterion:
    """Return how often the better half's best trial loses in the other half, on Sobol trials."""
    name, limit = "loss after selection", limits.loss_probability_max
    series = attempts.alpha[:, attempts.sobol]
    blocks = cscv_blocks(series.shape[0], limits.cscv_blocks)
    if series.shape[1] < 2 or blocks < 4:
        reason = f"{series.shape[1]} pre-drawn trials on {series.shape[0]} days are too few"
        return Criterion(name=name, value=nan, threshold=limit, passed=False, reason=reason)
    found = probability_of_overfitting(series, blocks)
    return at_most(
        name,
        found.loss_probability,
        limit,
        f"the best trial of one half of the time lost money in the other half in "
        f"{found.loss_probability:.0%} of {found.logits.size} divisions",
    )


def _reported(evidence: Evidence, attempts: Attempts, limits: GateLimits) -> list[Criterion]:
    """Return what is shown beside the verdict, with what it can and cannot say."""
    moments = sharpe_moments(evidence.records["model"].daily)
    sharpes = np.array([sharpe_moments(column).sharpe for column in attempts.series.T])
    number = effective_trials(attempts.series)
    deflated = deflated_sharpe_2014(
        moments, number, float(sharpes.var(ddof=1) if sharpes.size > 1 else 0.0)
    )
    blocks = cscv_blocks(attempts.series.shape[0], limits.cscv_blocks)
    sobol = attempts.alpha[:, attempts.sobol]
    overfit = nan
    if sobol.shape[1] >= 2 and blocks >= 4:
        overfit = probability_of_overfitting(sobol, blocks).probability
    test = evidence.test_records["model"].daily
    error = evidence.metrics["test"].get("calibration_error", nan)
    return [
        reported(
            "test net return",
            float(test.sum()),
            0.0,
            f"the test part ended at {test.sum():+.2%} after all costs; it is the last part of the "
            "record that decides",
        ),
        reported(
            "calibration error",
            error,
            limits.calibration_error_max,
            f"on the test part probabilities miss the observed rate by {error:.3f} on average; "
            "a few hundred labels miss by as much by chance, so it decides for refits only",
        ),
        reported(
            "probabilistic Sharpe",
            probabilistic_sharpe_2012(moments),
            0.95,
            "chance that the true Sharpe ratio is positive, as if nothing else had been tried",
        ),
        reported(
            "deflated Sharpe",
            deflated,
            0.95,
            f"the same against the best of {number:.1f} effective trials; low even for a true "
            "Sharpe ratio of 2 on a record of this length, so it does not decide",
        ),
        reported(
            "probability of overfitting",
            overfit,
            0.5,
            "how often the best trial ranks in the lower half later; near 0.5 also where all "
            "trials are equally good, so it does not decide",
        ),
        reported(
            "Sharpe a year",
            moments.sharpe * float(np.sqrt(DAYS_A_YEAR)),
            0.0,
            f"over {moments.periods} days out of sample, after all costs",
        ),
    ]


def cscv_blocks(days: int, most: int) -> int:
    """Return the even number of blocks, at most ``most``, that leaves 5 days in each."""
    return max(0, min(most, days // 5) // 2 * 2)
