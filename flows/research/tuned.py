"""What a model's record would have been, had self-tuning moved its signal anywhere it may.

Decides the box that a bundle allows self-tuning, and measures the model at points spread over it.
Never fits: the models of the walk and the finished one answer other signals. Rule: the box that the
gate looks at is the box in the bundle, so that self-tuning cannot leave what was judged.
"""

from dataclasses import asdict

import numpy as np
from scipy.stats import qmc

from features.errors import InputError
from features.signals import ADAPTIVE_BOUNDS, SignalParams
from flows.research.economics import wishes
from flows.research.fitting import judge
from flows.research.market import Dataset
from flows.research.samples import draw_samples
from flows.research.track import Period, buy_and_hold, make_track
from flows.research.training import Trained

POINTS = 16
# Of the way to the bounds. Threshold, confidence and its multiplier move the same thing, how far a
# score must be from 0: from 2 deviations down to 1.5 in the worst corner; at a quarter of the way
# to 1.2, where it fires four times as often and is another signal.
REACH = 0.125
SEED = 20140301


def tuning_box(signal: SignalParams) -> dict[str, tuple[float, float, float]]:
    """Return each adaptive parameter's start, low and high.

    Self-tuning may go an eighth of the way from the model's own value to the declared bounds.
    """
    own = asdict(signal)
    out = {}
    for name, (_, low, high) in ADAPTIVE_BOUNDS.items():
        start = min(max(float(own[name]), low), high)
        out[name] = (start, start - REACH * (start - low), start + REACH * (high - start))
    return out


def tuned_returns(trained: Trained, dataset: Dataset, period: Period) -> tuple[float, ...]:
    """Return the summed net return out of sample at 16 Sobol points of the box.

    Over the same mean share of the market, as the gate judges; 0 where a point has no signal.
    """
    hold = float(buy_and_hold(dataset, period).sum())
    box = tuning_box(trained.recipe.signal)
    low = np.array([one[1] for one in box.values()])
    high = np.array([one[2] for one in box.values()])
    engine = qmc.Sobol(d=len(box), scramble=True, rng=np.random.default_rng(SEED))
    points = low + (high - low) * engine.random(POINTS)
    return tuple(
        _return_at(trained, dataset, period, hold, dict(zip(box, map(float, point), strict=True)))
        for point in points
    )


def _return_at(
    trained: Trained, dataset: Dataset, period: Period, hold: float, moved: dict[str, float]
) -> float:
    recipe = trained.recipe.with_point({f"signal.{name}": at for name, at in moved.items()})
    try:
        samples = draw_samples(dataset, recipe)
    except InputError:
        return 0.0
    wished = np.zeros(samples.n, dtype=np.bool_)
    last = (trained.fitted, (trained.cuts.test_ms, trained.cuts.last_ms))
    walked = zip(trained.walk.fitted, trained.walk.spans, strict=True)
    for fitted, (begin, end) in (*walked, last):
        rows = np.flatnonzero((samples.start_ms >= begin) & (samples.start_ms < end))
        if rows.size:
            answers = judge(samples, rows, fitted)
            wished[answers.rows] = wishes(answers.expected, recipe.model.kappa)
    track = make_track(dataset, samples, wished, period)
    return float(track.daily.sum()) - track.metrics["exposure"] * hold
