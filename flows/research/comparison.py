"""Candidate and champion on the same events: what the refit tier looks at.

Decides which events pair (same symbol, bar and side, unseen by both) and asks both bundles by the
code that trades. Never judges and never fits. Rule: what a model says is what its bundle says.
"""

from dataclasses import dataclass

import numpy as np

from executor.core.bundle import ModelBundle
from executor.core.model import ModelInfo, Request
from features.signals import Signal
from features.signals_batch import signals_batch
from features.types import FloatArray
from flows.research.economics import Expectation, wishes
from flows.research.market import Dataset
from flows.research.parity import unequal_features
from flows.research.recipe import HOUR_MS, BarrierParams, Recipe
from flows.research.refit import (
    Refit,
    comparison_rows,
    days_of,
    excess_log_loss,
    shared_rows,
)
from flows.research.samples import Samples, draw_samples
from flows.research.splits import Rows
from flows.research.track import Period, make_track, mark


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Side:
    """One model's events from where comparison begins, and what its bundle says of them."""

    samples: Samples
    rows: Rows
    probability: FloatArray
    wished: Rows


def compare(
    candidate: ModelBundle,
    champion: ModelBundle,
    dataset: Dataset,
    *,
    test_ms: int,
    embargo_ms: int,
    calibration_error: float,
    leaked_rows: int,
) -> Refit:
    """Return the figures of the refit tier.

    Parameters
    ----------
    test_ms
        Where the candidate's test part begins.
    embargo_ms
        The candidate's distance between training and test.
    calibration_error, leaked_rows
        Of the candidate, from its evidence.
    """
    horizon_ms = max(_horizon_ms(model.info) for model in (candidate, champion))
    champion_end_ms = champion.info.trained_until_ms
    sides = [
        _side(model, dataset, test_ms, champion_end_ms, horizon_ms)
        for model in (candidate, champion)
    ]
    ours, theirs = sides
    mine, yours = _pairs(ours, theirs)
    losses = [
        excess_log_loss(side.samples.label[side.rows[at]], side.probability[at])
        for side, at in ((ours, mine), (theirs, yours))
    ]
    start_ms = ours.samples.start_ms[ours.rows[mine]]
    trained = ours.samples.end_ms[ours.samples.end_ms < test_ms - embargo_ms]
    unequal, compared = unequal_features(dataset)
    begin_ms = max(test_ms, champion_end_ms + horizon_ms)
    last_ms = max(int(m.candles.close_ms[-1]) for m in dataset.markets)
    period = Period.between(min(begin_ms, last_ms - 1), last_ms)
    daily = [
        make_track(
            dataset,
            side.samples,
            mark(side.samples, side.wished, np.ones(side.wished.size, dtype=np.bool_)),
            period,
        ).daily
        for side in sides
    ]
    return Refit(
        difference=losses[0] - losses[1],
        day=days_of(start_ms),
        weight=ours.samples.weight[ours.rows[mine]],
        ours=daily[0],
        theirs=daily[1],
        unequal_cells=unequal,
        compared_cells=compared,
        shared_rows=shared_rows(
            start_ms,
            trained_end_ms=trained,
            champion_end_ms=champion_end_ms,
            horizon_ms=horizon_ms,
        ),
        leaked_rows=leaked_rows,
        calibration_error=calibration_error,
        horizon_hours=horizon_ms / HOUR_MS,
    )


def _side(
    model: ModelBundle, dataset: Dataset, test_ms: int, champion_end_ms: int, horizon_ms: int
) -> _Side:
    info = model.info
    samples = draw_samples(dataset, recipe_of_events(info))
    rows = comparison_rows(
        samples.start_ms,
        test_ms=test_ms,
        champion_end_ms=champion_end_ms,
        horizon_ms=horizon_ms,
    )
    rows = rows[np.isin(samples.symbol[rows], _known(info, dataset))]
    answers = model.predict_many(_requests(info, dataset, samples, rows)) if rows.size else []
    expected = Expectation(
        net=np.array([one.expected_net for one in answers]),
        error=np.array([one.standard_error for one in answers]),
        second_moment=np.array([one.second_moment for one in answers]),
    )
    return _Side(
        samples=samples,
        rows=rows,
        probability=np.array([one.probability for one in answers]),
        wished=rows[wishes(expected, info.kappa)],
    )


def _requests(info: ModelInfo, dataset: Dataset, samples: Samples, rows: Rows) -> list[Request]:
    signals = [signals_batch(m.matrix, dataset.catalog, info.signal) for m in dataset.markets]
    out = []
    for row in rows:
        number = int(samples.symbol[row])
        market, fired = dataset.markets[number], signals[number]
        bar = int(samples.entry_index[row]) - 1
        out.append(
            Request(
                symbol=market.symbol,
                close_ms=int(market.candles.close_ms[bar]),
                features=market.matrix[bar],
                signal=Signal(
                    side=int(fired.side[bar]),
                    score=float(fired.score[bar]),
                    confidence=float(fired.confidence[bar]),
                    rule=int(fired.rule[bar]),
                ),
            )
        )
    return out


def _pairs(ours: _Side, theirs: _Side) -> tuple[Rows, Rows]:
    """Return places among the rows of both sides that are one event."""
    keys = []
    for side in (ours, theirs):
        samples, rows = side.samples, side.rows
        who = 2 * samples.symbol[rows] + (samples.side[rows] > 0)
        keys.append(samples.start_ms[rows] * (2 * len(samples.symbols)) + who)
    _, mine, yours = np.intersect1d(keys[0], keys[1], assume_unique=True, return_indices=True)
    return np.asarray(mine, dtype=np.intp), np.asarray(yours, dtype=np.intp)


def recipe_of_events(info: ModelInfo) -> Recipe:
    """Return as much of a bundle's recipe as its events and labels depend on."""
    return Recipe(
        signal=info.signal,
        barriers=BarrierParams(
            profit=info.barriers.profit,
            loss=info.barriers.loss,
            horizon_hours=_horizon_ms(info) / HOUR_MS,
            volatility_scaled=info.barriers.volatility_scaled,
        ),
        costs=info.costs,
        exit_plan=info.exit_plan,
    )


def _horizon_ms(info: ModelInfo) -> int:
    return info.barriers.horizon_bars * info.interval_ms


def _known(info: ModelInfo, dataset: Dataset) -> list[int]:
    return [n for n, symbol in enumerate(dataset.symbols) if symbol in info.symbols]
