"""What a finished model is worth, in every figure that the gate and the report need.

Decides nothing: a trained model in, figures out. Never fits and never changes a choice. Rule: the
same functions measure model and baselines, and figures of the test part are made here only.
"""

import numpy as np
import xgboost as xgb

from features.barriers import PROFIT, REASON_NAMES, STOP, TIME
from features.errors import InputError
from flows.research.book import DAY_MS
from flows.research.economics import wishes
from flows.research.evidence import (
    WRITTEN,
    CalibrationBucket,
    Evidence,
    Figures,
    Record,
    Spread,
    Trades,
)
from flows.research.fitting import ALL, groups
from flows.research.market import Dataset
from flows.research.parity import leaked_rows, unequal_features
from flows.research.recipe import Recipe
from flows.research.samples import Samples, draw_samples
from flows.research.scores import curve, group_figures, judged_parts, split_figures
from flows.research.track import Period, Track, buy_and_hold, make_track, mark
from flows.research.training import Trained
from flows.research.tuned import tuned_returns

BUCKETS = 10
SHAP_ROWS = 1000


def evaluate_model(
    trained: Trained,
    dataset: Dataset,
    judged_ms: int,
    parity_symbols: int | None = None,
    written: Recipe | None = None,
) -> Evidence:
    """Return all figures of a finished model; the walk-forward judged from ``judged_ms`` on.

    Features are compared with the live stream for ``parity_symbols``, or for all symbols.
    ``written`` is the recipe that the search began with; the model's own where none was made.
    """
    samples, oof = trained.samples, trained.out_of_fold
    test_period = Period.between(trained.cuts.test_ms, trained.cuts.last_ms)
    period = Period.between(judged_ms, trained.cuts.last_ms)
    test_tracks = _tracks(trained, dataset, test_period, walked=False)
    tracks = _tracks(trained, dataset, period, walked=True)
    tracks |= _written(dataset, written or trained.recipe, period)
    unequal, compared = unequal_features(dataset, parity_symbols)
    parts = judged_parts(trained)
    seen = parts["train"]
    return Evidence(
        metrics=split_figures(samples, parts),
        groups=group_figures(trained, parts, dataset.interval_ms),
        calibration={
            "out of fold": curve(samples, oof.rows, oof.probability),
            "test": curve(samples, trained.test.rows, trained.test.probability),
            "train": curve(samples, seen.rows, seen.probability),
        },
        spread=probability_spread(trained),
        test_records={name: _record(track) for name, track in test_tracks.items()},
        records={name: _record(track) for name, track in tracks.items()},
        hold=buy_and_hold(dataset, period),
        first_day=period.first_day,
        test_first_day=test_period.first_day,
        trades=_trades(samples, tracks["model"]),
        labels=_label_counts(samples),
        horizon_hours=trained.recipe.barriers.horizon_hours,
        importance=importance(trained),
        contribution=contribution(trained),
        buckets=calibration_buckets(trained),
        bet_q90=bet_quantile(trained, 0.9),
        tuned=tuned_returns(trained, dataset, period),
        unequal_cells=unequal,
        compared_cells=compared,
        leaked_rows=leaked_rows(
            samples,
            [
                *((fold.train, fold.test) for fold in trained.walk.folds),
                (trained.known, trained.test.rows),
            ],
            trained.embargo_ms,
        ),
    )


def _written(dataset: Dataset, written: Recipe, period: Period) -> dict[str, Track]:
    """Return the record of every signal of a recipe as it was written down: no model, no search."""
    try:
        samples = draw_samples(dataset, written)
    except InputError:  # it has no signal here, and no record
        return {}
    begin, end = period.first_day * DAY_MS, (period.first_day + period.days) * DAY_MS
    inside = (samples.start_ms >= begin) & (samples.start_ms < end)
    return {WRITTEN: make_track(dataset, samples, inside, period)}


def calibration_buckets(trained: Trained, key: int = ALL) -> tuple[CalibrationBucket, ...]:
    """Return out-of-fold counts by tenths of the probability; together they cover [0, 1].

    Of one symbol's rows where ``key`` is its number.
    """
    samples, oof = trained.samples, trained.out_of_fold
    mine = np.ones(oof.rows.size, np.bool_) if key == ALL else samples.symbol[oof.rows] == key
    rows, p = oof.rows[mine], oof.probability[mine]
    weight, won = samples.weight[rows], samples.label[rows] == 1
    inner = np.unique(np.quantile(p, np.arange(1, BUCKETS) / BUCKETS))
    edges = np.concatenate(([0.0], inner[(inner > 0.0) & (inner < 1.0)], [1.0 + 1e-9]))
    place = np.searchsorted(edges, p, side="right") - 1
    return tuple(
        CalibrationBucket(
            lo=float(edges[b]),
            hi=float(edges[b + 1]),
            wins=float(weight[(place == b) & won].sum()),
            n=float(weight[place == b].sum()),
        )
        for b in range(edges.size - 1)
    )


def bet_quantile(trained: Trained, share: float, key: int = ALL) -> float:
    """Return a quantile of the growth-optimal bet μ/E[r²] over wished out-of-fold rows, or 0.

    Of one symbol's rows where ``key`` is its number.
    """
    expected = trained.out_of_fold.expected
    wished = wishes(expected, trained.recipe.model.kappa)
    if key != ALL:
        wished &= trained.samples.symbol[trained.out_of_fold.rows] == key
    if not wished.any():
        return 0.0
    moment = np.maximum(expected.second_moment[wished], 1e-12)
    return float(np.quantile(np.maximum(expected.net[wished] / moment, 0.0), share))


def importance(trained: Trained) -> Figures:
    """Return total gain by feature as shares of 1, largest first; the mean over several parts."""
    names, parts = trained.samples.names, trained.fitted.parts
    named: Figures = {}
    for part in parts.values():
        score = part.booster.get_score(importance_type="total_gain")
        gain = {names[int(key.removeprefix("f"))]: float(np.sum(v)) for key, v in score.items()}
        total = (sum(gain.values()) or 1.0) * len(parts)
        for name, value in gain.items():
            named[name] = named.get(name, 0.0) + value / total
    return dict(sorted(named.items(), key=lambda item: (-item[1], item[0])))


def probability_spread(trained: Trained, bins: int = 30) -> Spread:
    """Return the weight of won and lost test rows by probability."""
    samples, test = trained.samples, trained.test
    edges = np.linspace(test.probability.min(), test.probability.max() + 1e-9, bins + 1)
    won = samples.label[test.rows] == 1
    weight = samples.weight[test.rows]
    counts = [
        np.histogram(test.probability, edges, weights=weight * part)[0].tolist()
        for part in (won, ~won)
    ]
    return Spread(edges=edges.tolist(), won=counts[0], lost=counts[1])


def contribution(trained: Trained) -> Figures:
    """Return the mean size of each feature's SHAP value on the newest test rows, largest first."""
    samples, parts = trained.samples, trained.fitted.parts
    rows = trained.test.rows[-SHAP_ROWS:]
    size = np.zeros(samples.x.shape[1])
    for key, mine in groups(samples, rows):
        matrix = xgb.DMatrix(samples.x.take(mine).whole(), nthread=1)
        values = parts[key].booster.predict(matrix, pred_contribs=True)
        size += np.abs(values[:, :-1]).sum(axis=0) / max(1, rows.size)
    named = {n: float(v) for n, v in zip(samples.names, size, strict=True) if v > 0.0}
    return dict(sorted(named.items(), key=lambda item: (-item[1], item[0])))


def _tracks(
    trained: Trained, dataset: Dataset, period: Period, *, walked: bool
) -> dict[str, Track]:
    """Return the records of model and baselines, and of stressed costs.

    In the walk each fold's own calibrator and economics decide, which knew the past only.
    """
    samples, kappa = trained.samples, trained.recipe.model.kappa
    chosen, linear, every = (np.zeros(samples.n, dtype=np.bool_) for _ in range(3))
    for answers in (*(trained.walk.answers if walked else ()), trained.test):
        chosen |= mark(samples, answers.rows, wishes(answers.expected, kappa))
        linear |= mark(samples, answers.rows, wishes(answers.linear_expected, kappa))
        every[answers.rows] = True
    return {
        "model": make_track(dataset, samples, chosen, period),
        "logistic alone": make_track(dataset, samples, linear, period),
        "signal alone": make_track(dataset, samples, every, period),
        "costs x2": make_track(dataset, samples, chosen, period, cost_factor=2.0),
        "costs x3": make_track(dataset, samples, chosen, period, cost_factor=3.0),
    }


def _record(track: Track) -> Record:
    return Record(daily=track.daily, metrics=dict(track.metrics))


def _trades(samples: Samples, track: Track) -> Trades:
    """Return the model's round trips in order of their decisions."""
    rows = track.rows
    return Trades(
        symbol=[samples.symbols[int(number)] for number in samples.symbol[rows]],
        side=[int(side) for side in samples.side[rows]],
        start_ms=[int(t) for t in samples.start_ms[rows]],
        end_ms=[int(t) for t in samples.end_ms[rows]],
        reason=[REASON_NAMES[int(reason)] for reason in samples.reason[rows]],
        net=[float(net) for net in samples.net[rows]],
        gross=[float(gross) for gross in samples.gross[rows]],
    )


def _label_counts(samples: Samples) -> dict[str, dict[str, float]]:
    """Return how the events of each symbol ended, and their share of net gains."""
    out = {}
    for number, symbol in enumerate(samples.symbols):
        mine = samples.symbol == number
        counts = {
            name: float(np.sum(samples.reason[mine] == code))
            for code, name in REASON_NAMES.items()
            if code in {PROFIT, STOP, TIME}
        }
        out[symbol] = {
            **counts,
            "events": float(mine.sum()),
            "net gain": float(samples.label[mine].sum()),
            "ambiguous": float(samples.ambiguous[mine].sum()),
        }
    return out
